"""DynamoDB's own HTTP API on a node: the transport of ``json_api``.

* ``server`` - listeners, and limits that are shared with the DAX front end
* ``protocol`` - one connection: HTTP/1.1 in order, flow control, its end
* ``known_heads`` - requests that look like those that were read before: pure
* ``messages`` - requests and replies as HTTP has them: pure
* ``signatures`` - requests that nobody signed, or not as AWS wants it, where that is left to AWS
* ``interface`` - what a connection asks its server for
* ``doorway`` - what is answered whoever asks: pure
* ``strangers`` - requests that a web page may have made: pure
* ``pacing`` - whether a caller has asked too often
* ``callers`` - who has signed, where all have to: verified before anything is done
* ``dates`` - the date of replies
* ``encodings`` - bodies that come encoded: pure
"""

"""DynamoDB's own HTTP API on a node: the transport of ``json_api``.

* ``server`` - listener and limits, shared with the DAX front end
* ``protocol`` - one connection: HTTP/1.1 in order, flow control, its end
* ``handler`` - the JSON API behind signatures
* ``rendering`` - replies as bytes: pure
* ``request`` - a request with what HTTP says of it
* ``preflight`` - what DynamoDB looks at before it reads what is asked: pure
* ``signatures`` - requests that nobody signed, or not as AWS wants it
* ``encodings`` - bodies that come encoded: pure
* ``assembly`` - puts it together
"""

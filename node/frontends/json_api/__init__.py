"""DynamoDB's JSON API (JSON 1.0), by whichever transport: its HTTP port or inside DAX connections.

* ``handler`` - requests to operations, or on to DynamoDB as they came
* ``parameters`` - which requests are surely well-formed, in the form of the operations: pure
* ``plain_bodies`` - GetItem's body where it is a table and a key, by its shape: pure
* ``request`` - a request, and what was read of it
* ``replies`` - bodies of replies, and errors in DynamoDB's words: pure
"""

"""The hot operations' way to DynamoDB: what an attempt costs is signing, one write, one read.

aiobotocore takes some 600 microseconds of CPU a call for the same. It stays for credentials,
the resolution of endpoints and regions, and for all that is rare.

``signing``      Signature Version 4, with keys that are derived once a day
``connection``   one HTTP/1.1 connection: a request, its answer, as bytes
``pool``         connections that are open, and who waits for one
``answers``      what the answers to hot reads mean (pure)
``way``          which calls go this way, and how
"""

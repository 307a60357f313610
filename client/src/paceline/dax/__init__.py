"""The DAX wire protocol, sans I/O: bytes in, events and bytes out, for both roles.

``docs/dax-protocol.md`` describes the protocol; modules cite its sections. Nothing here opens a
socket, reads a clock or awaits.

``connection``      a connection of either role
``methods``         the methods, and how many values their frames have
``requests``        request frames to records and back
``request_types``   those records
``responses``       replies that need no translation
``errors``          exceptions to error replies and back
``client``          parameters to frames, replies to results
``server``          frames to parameters, results to replies
``fields``          keys and parts of reply bodies
``options``         optional arguments
``enums``           enumerations as numbers
``family``          client libraries by their user agent
``expressions``     condition, update and projection expressions
``validity``        what DynamoDB surely refuses
``elements``        how many values a request holds
``keys``            primary keys as bytes
``lexdecimal``      number range keys
``attribute_lists`` items as list id and values
``values``          attribute values
``numbers``         numbers
``cbor``            reading CBOR
``cbor_scanner``    finding the end of values
``cbor_writers``    writing CBOR
``cbor_types``      its constants
"""

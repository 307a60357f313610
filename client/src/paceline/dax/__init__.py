"""The DAX wire protocol, sans I/O: bytes in, events and bytes out, for both roles.

``docs/dax-protocol.md`` describes the protocol; modules cite its sections. Nothing here opens a
socket, reads a clock or awaits.
"""

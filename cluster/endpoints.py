"""The ``endpoints`` reply of the DAX protocol (docs/dax-protocol.md, "Cluster discovery")."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from paceline.dax.cbor import Reader, write_array, write_bytes, write_int, write_map, write_text
from paceline.errors import ProtocolError

_FIELDS = 7
"""Python clients fail on a missing key 0, 3, 4 or 5 and on any key from 8 upwards."""


class Role(enum.IntEnum):
    """Where Python and JS clients send writes; Go clients accept no other values."""

    LEADER = 1
    REPLICA = 2


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One node as DAX clients see it.

    They connect to the ``address`` bytes (4 or 16, network order) and ``port``, never to
    ``hostname``. ``session`` changes when the node was restarted: clients compare whole
    endpoints, and replace their connections to one that differs.
    """

    node: int
    hostname: str
    address: bytes
    port: int
    role: Role
    zone: str
    session: int


def encode_endpoints(endpoints: Sequence[Endpoint]) -> bytes:
    """A complete reply: the empty error array, then an array of maps with all seven keys."""
    out = bytearray(b"\x80")
    write_array(out, len(endpoints))
    for endpoint in endpoints:
        write_map(out, _FIELDS)
        write_int(out, 0)
        write_int(out, endpoint.node)
        write_int(out, 1)
        write_text(out, endpoint.hostname)
        write_int(out, 2)
        write_bytes(out, endpoint.address)
        write_int(out, 3)
        write_int(out, endpoint.port)
        write_int(out, 4)
        write_int(out, endpoint.role)
        write_int(out, 5)
        write_text(out, endpoint.zone)
        write_int(out, 6)
        write_int(out, endpoint.session)
    return bytes(out)


def decode_endpoints(reply: bytes) -> list[Endpoint]:
    """The inverse of ``encode_endpoints``; ProtocolError for an error reply or other shapes."""
    reader = Reader(reply)
    if reader.read_array() != 0:
        raise ProtocolError("the peer answered endpoints with an error")
    found = []
    for _ in range(reader.read_array()):
        count = reader.read_map()
        if count != _FIELDS:
            raise ProtocolError(f"an endpoint has {count} fields instead of {_FIELDS}")
        fields: dict[int, int | str | bytes] = {}
        for _ in range(count):
            key = reader.read_int()
            if key in (1, 5):
                fields[key] = reader.read_text()
            elif key == 2:
                fields[key] = reader.read_bytes()
            else:
                fields[key] = reader.read_int()
        found.append(_endpoint(fields))
    return found


def _endpoint(fields: dict[int, int | str | bytes]) -> Endpoint:
    match [fields.get(key) for key in range(_FIELDS)]:
        case [
            int(node),
            str(hostname),
            bytes(address),
            int(port),
            int(role),
            str(zone),
            int(session),
        ]:
            return Endpoint(node, hostname, address, port, Role(role), zone, session)
    raise ProtocolError("an endpoint lacks one of its seven fields")

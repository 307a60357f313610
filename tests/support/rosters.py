"""The ``endpoints`` reply as a test that holds the bytes of a whole one reads it."""

from __future__ import annotations

from paceline.dax.connection import ClientConnection, NeedData, Reply
from paceline.dax.request_types import Endpoints
from paceline.dax.responses import Endpoint, read_endpoints


def rosters_endpoints(reply: bytes) -> list[Endpoint] | None:
    """None: the reply is not whole yet. The error that a node answers instead is raised."""
    codec = ClientConnection()
    codec.send(Endpoints())
    codec.receive_data(reply)
    event = codec.next_event()
    if isinstance(event, Reply):
        assert not codec.buffer, "the peer sent more than the reply"
        return read_endpoints(event.body)
    if isinstance(event, NeedData):
        return None
    raise event.error


def whole_roster(reply: bytes) -> list[Endpoint]:
    found = rosters_endpoints(reply)
    assert found is not None, "the reply is not whole"
    return found

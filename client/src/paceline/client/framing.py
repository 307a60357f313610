"""How the connections of both clients use the codec: their preamble, requests and replies."""

import os
from typing import Final, cast

from paceline.client.core.plain_get import PlainGet, is_whole_reply
from paceline.client.core.retry import NOT_SENT
from paceline.dax.connection import ClientConnection, ErrorReply, NeedData, Reply
from paceline.dax.request_types import Request
from paceline.errors import DynamoDBError

USER_AGENT: Final = "PacelineClient-1"
SESSION: Final = os.urandom(16)


def send(codec: ClientConnection, request: Request | PlainGet) -> bytes:
    """Encodes a request; the codec then expects its reply."""
    if type(request) is PlainGet:
        assert codec.outstanding is None, "a connection carries one request at a time"
        codec.outstanding = cast(Request, request)
        return request.frame
    return codec.send(cast(Request, request))


def receive(codec: ClientConnection, data: bytes) -> Reply | ErrorReply | NeedData:
    """Decodes received bytes. A whole plain reply needs no codec."""
    outstanding: object = codec.outstanding
    if type(outstanding) is PlainGet and not codec.buffer and is_whole_reply(data):
        codec.outstanding = None
        return Reply(cast(Request, outstanding), data[1:])
    codec.receive_data(data)
    return codec.next_event()


def is_farewell(event: ErrorReply) -> bool:
    """True if this may be a stopping node's farewell; it will not read another request on this
    connection. An overloaded node answers the same; then one more connection does no harm."""
    return isinstance(event.error, DynamoDBError) and event.error.name == NOT_SENT

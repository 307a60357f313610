"""What goes with a status of gRPC in the trailing metadata: the error by its name, in the form of
this project and in that of clients' status libraries."""

from __future__ import annotations

import grpc

from cluster.transport.protobuf_wire import head, varint
from paceline.v1 import data_pb2 as pb

ERROR_KEY = "paceline-error-bin"
STATUS_KEY = "grpc-status-details-bin"
DOMAIN = "paceline"

MESSAGE_BYTES_MAX = 1024
"""The most bytes of a message as gRPC sends it in a status, where each byte of UTF-8 that is not
printable ASCII takes three."""

Metadata = tuple[tuple[str, str | bytes], ...]


def refusal(code: grpc.StatusCode, name: str, message: str) -> Metadata:
    """Of a call that was refused with ``code`` before anything was done."""
    told = pb.Error(outcome=pb.REQUEST_OUTCOME_NOTHING_DONE, code=name, message=cut(message))
    told.truncated = told.message != message
    return (
        (ERROR_KEY, told.SerializeToString()),
        (STATUS_KEY, rich_status(code, told.message, name)),
    )


def cut(message: str) -> str:
    """To ``MESSAGE_BYTES_MAX``."""
    left = MESSAGE_BYTES_MAX
    for at, character in enumerate(message):
        plain = " " <= character <= "~" and character != "%"
        left -= 1 if plain else 3 * len(character.encode(errors="replace"))
        if left < 0:
            return message[:at] + "…"
    return message


def rich_status(code: grpc.StatusCode, message: str, reason: str) -> bytes:
    """``google.rpc.Status`` with an ``ErrorInfo``, as clients' status libraries read it. Go takes a
    status for broken whose details have another code.

    Written by hand: three fields each are no reason for another dependency.
    """
    info = _field(1, reason.encode()) + _field(2, DOMAIN.encode())
    packed = _field(1, b"type.googleapis.com/google.rpc.ErrorInfo") + _field(2, info)
    number: int = code.value[0]
    return b"\x08" + varint(number) + _field(2, message.encode()) + _field(3, packed)


def _field(number: int, data: bytes) -> bytes:
    return head(number, len(data)) + data

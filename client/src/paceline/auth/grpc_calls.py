"""Signature Version 4 of calls by gRPC, as metadata. Pure: ``signed_at`` is a parameter.

A call is signed as the HTTP request that it nearly is: ``POST``, the method's full name as the
path (``/paceline.v1.Data/GetItem``), no query, and the request message's bytes as the body. What is
signed as the host is the same name for every server: servers are not told by which name they were
called. A signature is good for five minutes, by whichever node of the cluster.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from paceline.auth.posts import Keys, signed_post

SERVICE: Final = "dynamodb"
HOST: Final = "grpc.paceline"
"""No host of AWS: what is signed for a cluster is worth nothing there."""


class CallSigner:
    """``keys`` is asked for each call, so it may give fresh ones: ``lambda:
    session.get_credentials().get_frozen_credentials()`` with botocore, which renews them."""

    def __init__(self, keys: Callable[[], Keys], region: str) -> None:
        self._keys = keys
        self._region = region

    def metadata(
        self, method: str, message: bytes, signed_at: datetime
    ) -> tuple[tuple[str, str], ...]:
        """What to send with a call of ``method``, ``/package.Service/Method``. ``message``: the
        request's bytes; what is sent has to be these, since a message has more than one form.
        ``signed_at`` has a time zone."""
        return sign_call(self._keys(), self._region, method, message, signed_at)


def sign_call(
    keys: Keys, region: str, method: str, message: bytes, signed_at: datetime
) -> tuple[tuple[str, str], ...]:
    """As ``CallSigner.metadata``."""
    signed = signed_post(method, {"host": HOST}, message, keys, region, SERVICE, signed_at)
    del signed["host"]
    return tuple(signed.items())

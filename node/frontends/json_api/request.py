"""A request of the HTTP API, whichever way it came, and who answers it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from node.frontends.json_api.replies import Reply
from node.reads.cacheability import Passed, PlainGet

_ACCESS_KEY = re.compile(r"Credential=([^/,\s]{1,128})/")

NOT_READ: Final = object()


@dataclass(slots=True)
class HttpRequest:
    """``target``: the value of X-Amz-Target."""

    method: str
    path: str
    target: str
    body: bytes
    keep_alive: bool = True
    gzip: bool = False
    authorization: str = ""
    origin: bool = False
    """It comes from a web page."""
    encoding: str = ""
    """What ``body`` came in, until it is worked on."""
    headers: Mapping[bytes, bytes] | None = field(default=None, repr=False)
    """By names in lower case. None: it came by another way than HTTP."""
    parsed: Any = field(default=None, repr=False)
    """The handler's; what it read from ``body``."""
    params: Any = field(default=NOT_READ, repr=False)
    """The handler's; what it made of ``parsed``, if that was much."""
    plain: PlainGet | Passed | None = None
    """The handler's; what its fast path made of a GetItem."""
    encodable: bool | None = None
    """The handler's; whether all text in ``parsed`` is text, if that was looked at."""
    size: int = 0
    """What it holds while it waits."""

    @property
    def operation(self) -> str:
        return self.target.rpartition(".")[2]

    @property
    def content_type(self) -> str:
        return (
            "" if self.headers is None else self.headers.get(b"content-type", b"").decode("latin-1")
        )

    @property
    def access_key_id(self) -> str:
        """Whoever signed it; signatures are not checked."""
        found = _ACCESS_KEY.search(self.authorization)
        return found.group(1) if found else ""


class Handler(Protocol):
    @property
    def healthy(self) -> bytes:
        """What is said to load balancers."""

    def fast(self, request: HttpRequest) -> Reply | None:
        """The reply if it can be had now and without waiting; else nothing has happened."""

    def read(self, request: HttpRequest) -> None:
        """Reads the body of a large request, on another thread: whatever takes time."""

    async def handle(self, request: HttpRequest) -> Reply:
        """Not cancelled when the client goes away, only when the server is aborted."""

    def failed(self, request: HttpRequest) -> Reply:
        """The reply after an unforeseen exception."""

"""A request of the JSON API that came by HTTP, and who answers it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from node.frontends.json_api.replies import Reply
from node.frontends.json_api.request import JsonRequest


@dataclass(slots=True)
class HttpRequest(JsonRequest):
    method: str = "POST"
    path: str = "/"
    keep_alive: bool = True
    gzip: bool = False
    origin: bool = False
    """It comes from a web page."""
    encoding: str = ""
    """What ``body`` came in, until it is worked on."""
    headers: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    """By names in lower case."""
    size: int = 0
    """Bytes that it holds while it waits."""

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1")


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

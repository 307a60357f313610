"""A request of DynamoDB's JSON API, whichever way it came."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from cluster.access.signatures.verification import Verified
from node.cache.entry import Entry
from node.reads.cacheability import Passed, PlainGet
from node.requests.reach import DYNAMODB

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
"""DynamoDB's limit of a request."""

GET_ITEM: Final = f"{DYNAMODB}.GetItem"
"""A target."""

NOT_READ: Final = object()


@dataclass(slots=True)
class JsonRequest:
    """``target``: the value of X-Amz-Target. What ``body`` was read to is kept with it, so that it
    is read once, however many look at it."""

    target: str
    body: bytes
    parsed: Any = field(default=None, repr=False)
    """The JSON in ``body``."""
    params: Any = field(default=NOT_READ, repr=False)
    """What was asked for, in the form of the operations; None: not surely well-formed."""
    plain: PlainGet | Passed | None = None
    """What a GetItem was found to be."""
    hit: Entry | None = None
    """What it has hit, if that is left to be decoded on another thread."""
    encodable: bool | None = None
    """Whether all text in ``parsed`` is text, if that was looked at."""
    caller: Verified | None = None
    """Who has signed it; None as long as nobody looked, and where nobody has to sign."""

    def taken_apart(self) -> list[object]:
        """What was made of its body; the request forgets it."""
        made = [self.parsed, self.params]
        self.parsed, self.params = None, NOT_READ
        return made

    @property
    def operation(self) -> str:
        return self.target.rpartition(".")[2]

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
"""The value of X-Amz-Target for a GetItem."""

NOT_READ: Final = object()


@dataclass(slots=True)
class JsonRequest:
    """``target``: the value of X-Amz-Target. What was read from ``body`` is kept, so that it is
    read once, however many look at it."""

    target: str
    body: bytes
    parsed: Any = field(default=None, repr=False)
    """The JSON in ``body``."""
    params: Any = field(default=NOT_READ, repr=False)
    """The parameters in boto3's low-level form; None: the body is not surely well-formed."""
    plain: PlainGet | Passed | None = None
    """What ``cacheability`` has said of a GetItem."""
    hit: Entry | None = None
    """The cached entry that answers it, if that is left to be decoded on another thread."""
    encodable: bool | None = None
    """Whether all text in ``parsed`` can be encoded as UTF-8; None: nobody has looked."""
    caller: Verified | None = None
    """Who has signed it; None as long as nobody looked, and where nobody has to sign."""

    @property
    def is_traced(self) -> bool:
        """Whether the caller says that it is part of a trace, and that he keeps that."""
        return False

    def taken_apart(self) -> list[object]:
        """Returns what was read from the body, and forgets it. It may take long to free."""
        made = [self.parsed, self.params]
        self.parsed, self.params = None, NOT_READ
        return made

    @property
    def operation(self) -> str:
        return self.target.rpartition(".")[2]

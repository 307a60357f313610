"""One thing that a request needs to be allowed, and what may be told of the request. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

LEADING_KEYS = "dynamodb:leadingkeys"
ATTRIBUTES = "dynamodb:attributes"
SELECT = "dynamodb:select"
RETURN_VALUES = "dynamodb:returnvalues"
RETURN_CONSUMED_CAPACITY = "dynamodb:returnconsumedcapacity"
FULL_TABLE_SCAN = "dynamodb:fulltablescan"
ENCLOSING_OPERATIONS = ("dynamodb:enclosingoperation", "dax:enclosingoperation")
REQUEST_TAG = "aws:requesttag/"
TAG_KEYS = "aws:tagkeys"
"""Condition keys, in small letters."""


VALUES_MAX = 1024
"""Values of one key that are compared with policies. Few items have so many attributes, and to
compare hundreds of thousands takes longer than a node may be silent."""


class CannotJudge(Exception):
    """It cannot be told what the request would read or change: it is refused, whoever asks."""


@dataclass(slots=True)
class Facts:
    """What may be told of a request. ``unknown`` are condition keys of which it cannot be told
    what their values are, each with the reason: who has a policy that asks for one is refused."""

    context: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, *values: str) -> None:
        """Values that the key does not have yet, in order."""
        found = tuple(dict.fromkeys((*self.context.get(key, ()), *values)))
        if len(found) > VALUES_MAX:
            self.hide(f"it has more than {VALUES_MAX} values", [key])
        if found:
            self.context[key] = found[:VALUES_MAX]

    def add_text(self, key: str, value: object) -> None:
        """A parameter's value, if it is there."""
        if isinstance(value, str):
            self.add(key, value)
        elif value is not None:
            self.unknown[key] = "the parameter is no text"

    def hide(self, why: str, keys: Iterable[str] = (LEADING_KEYS, ATTRIBUTES)) -> None:
        for key in keys:
            self.unknown.setdefault(key, why)

    def copy(self) -> Facts:
        return Facts(dict(self.context), dict(self.unknown))


@dataclass(frozen=True)
class Need:
    """``action`` as in ``dynamodb:GetItem``, ``resource`` an ARN. What else is to be told of the
    request is found only if somebody asks: not for those who may do it in any case."""

    action: str
    resource: str
    find: Callable[[], Facts] = field(default=Facts, repr=False, compare=False)

    @cached_property
    def facts(self) -> Facts:
        return self.find()


class TablesUnknown(Exception):
    """Whether a request is allowed hangs on the keys of tables that are not known here yet."""

    def __init__(self, tables: tuple[str, ...]) -> None:
        super().__init__(f"it is not known yet what {', '.join(tables)} are")
        self.tables = tables

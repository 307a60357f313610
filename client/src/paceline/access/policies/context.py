"""What is known of a caller and of a request, by condition keys. Pure.

Names of keys are compared in small letters, as IAM does it; values are texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

Context = Mapping[str, tuple[str, ...]]
"""Values by condition key, in small letters. A key without values is as one that is not there."""

MULTIVALUED: Final = frozenset(
    {
        "dynamodb:attributes",
        "dynamodb:leadingkeys",
        "aws:tagkeys",
        "sts:transitivetagkeys",
        "aws:calledvia",
        "aws:principalorgpaths",
        "aws:principalservicenameslist",
        "aws:resourceorgpaths",
        "aws:sourceorgpaths",
        "aws:vpceorgpaths",
    }
)
"""The keys that AWS documents as multivalued, in small letters: no variables may be made of them,
and only ForAllValues and ForAnyValue compare them."""

_OF_CALLERS: Final = frozenset(
    {
        *("aws:username", "aws:userid", "aws:principalarn"),
        *("aws:sourceidentity", "aws:tokenissuetime"),
    }
)
_TAGS_OF_CALLERS: Final = "aws:principaltag/"


def is_of_caller(key: str) -> bool:
    """Whether a key, in small letters, says something of who calls: the same in each request."""
    return key in _OF_CALLERS or key.startswith(_TAGS_OF_CALLERS)


def context_of(values: Mapping[str, str | Iterable[str]]) -> Context:
    """A context, from keys written in any letters; a key that is written twice has the values of
    both."""
    made: dict[str, tuple[str, ...]] = {}
    for key, value in values.items():
        more = (value,) if isinstance(value, str) else tuple(value)
        made[key.lower()] = made.get(key.lower(), ()) + more
    return made


CLUSTER_ACCOUNT: Final = "000000000000"
"""In ARNs of principals, which belong to a cluster and to no account of AWS."""


def arn_of(name: str) -> str:
    """The ARN of a cluster's principal."""
    return f"arn:aws:iam::{CLUSTER_ACCOUNT}:user/{name}"


def account_of(arn: str) -> str:
    """ "" if the ARN names none."""
    parts = arn.split(":", 5)
    return parts[4] if len(parts) > 4 else ""


_SESSION: Final = re.compile(r"arn:([^:]*):sts::([0-9]{12}):assumed-role/([^/]+)/[^/]+")


def role_of(arn: str) -> str | None:
    """The ARN of the role whose session this is; None: it is none's."""
    found = _SESSION.fullmatch(arn)
    return None if found is None else f"arn:{found[1]}:iam::{found[2]}:role/{found[3]}"


@dataclass(frozen=True)
class Caller:
    """Who calls. ``userid`` is the name where there is none of its own. ``role_arn``: of the role
    whose session it is; policies name that, or the session itself, which has no user name.
    ``known``: what else is known of a session, by condition keys in any letters."""

    name: str
    arn: str
    tags: Mapping[str, str] = field(default_factory=dict)
    userid: str | None = None
    role_arn: str | None = None
    known: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def context(self) -> Context:
        known = {key.lower(): (value,) for key, value in self.known.items()}
        known["aws:principalarn"] = (self.role_arn or self.arn,)
        if self.role_arn is None:
            known["aws:username"] = (self.name,)
        known["aws:userid"] = (self.name if self.userid is None else self.userid,)
        known.update((_TAGS_OF_CALLERS + key.lower(), (tag,)) for key, tag in self.tags.items())
        return known

    @cached_property
    def account(self) -> str:
        """ "" if the ARN names none."""
        parts = self.arn.split(":")
        return parts[4] if len(parts) > 4 else ""


def whole_context(caller: Caller, given: Context) -> Context:
    """What a request says of itself, and what is known of the caller: nothing of the one can
    stand for the other."""
    whole = {key: values for key, values in given.items() if not is_of_caller(key)}
    whole.update(caller.context)
    return whole

"""Where a principal's own AWS credentials come from, for requests that are made in its name. Pure.

{"key": {"id": "AKIA...", "secret": "..."}}, {"role_arn": "arn:aws:iam::123456789012:role/orders"},
or {"profile": "orders"}
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_SESSION_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{2,64}")
"""https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html."""

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role/[\x21-\x7e]{1,576}")
_PROFILE = re.compile(r"[\x21-\x5a\x5c\x5e-\x7e][\x20-\x5a\x5c\x5e-\x7e]{0,127}")
"""As the name of a section of AWS's files: no brackets, no line's end."""
_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}")
_SECRET = re.compile(r"[\x21-\x7e]{16,256}")


@dataclass(frozen=True, slots=True)
class StaticKey:
    """A key pair of AWS's."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Role:
    """A role that a node takes on with credentials of its own."""

    arn: str

    @property
    def account(self) -> str:
        found = _ROLE.fullmatch(self.arn)
        assert found is not None
        return found.group(1)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of AWS's files at each node."""

    name: str


Source = StaticKey | Role | Profile


def session_name_of(name: str) -> str:
    """Of the session of a role of AWS's that is taken on for the principal, which CloudTrail shows.
    ``name`` as in the log: a role of the cluster has its kind in front of it, with a slash."""
    return name.replace("/", "=")


def source_of(found: object, name: str) -> Source:
    """``found``: JSON's; ``name``: the principal's, or the role's, as in the log. ValueError, with
    what is wrong."""
    where = f"upstream of {name}"
    if not isinstance(found, dict) or len(found) != 1:
        raise ValueError(f"{where}: one of key, role_arn and profile expected")
    ((kind, value),) = found.items()
    if kind == "key":
        return _key(value, where)
    if kind not in ("role_arn", "profile"):
        raise ValueError(f"{where} has no {kind!r}; it has one of key, role_arn and profile")
    if not isinstance(value, str):
        raise ValueError(f"{where}, {kind}: a text expected, not {type(value).__name__}")
    if kind == "profile":
        if not _PROFILE.fullmatch(value):
            raise ValueError(f"{where}: {value!r:.80} is no name of a profile")
        return Profile(value)
    if not _ROLE.fullmatch(value):
        raise ValueError(f"{where}: {value!r:.80} is no role's ARN, arn:aws:iam::ACCOUNT:role/NAME")
    if not _SESSION_NAME.fullmatch(session_name_of(name)):
        raise ValueError(
            f"{where}: the session of AWS's role is called {session_name_of(name)}, and STS takes"
            " 2 to 64 characters"
        )
    return Role(value)


def _key(value: object, where: str) -> StaticKey:
    if not isinstance(value, dict) or set(value) != {"id", "secret"}:
        raise ValueError(f"{where}: a key has an id and a secret, and nothing else")
    key_id, secret = value["id"], value["secret"]
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        raise ValueError(f"{where}: an access key id has 16 to 128 letters and digits")
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        raise ValueError(f"{where}: the secret of {key_id} is none of AWS's")
    return StaticKey(key_id, secret)


def as_json(source: Source) -> dict[str, Any]:
    """With its secret."""
    match source:
        case StaticKey(id=key_id, secret=secret):
            return {"key": {"id": key_id, "secret": secret}}
        case Role(arn=arn):
            return {"role_arn": arn}
        case Profile(name=name):
            return {"profile": name}


def told(source: Source) -> dict[str, str]:
    """For people, without its secret."""
    match source:
        case StaticKey(id=key_id):
            return {"key": key_id}
        case Role(arn=arn):
            return {"role_arn": arn}
        case Profile(name=name):
            return {"profile": name}

"""What STS may be asked for, and AWS's words for what not. Pure.

Sources: the model of STS in botocore (``sts/2011-06-15/service-2.json``: lengths, patterns and
ranges), and messages as users have quoted them in public.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cluster.access.denied import Denied
from cluster.access.fields import (
    TAG_KEY_CHARACTERS_MAX,
    TAG_VALUE_CHARACTERS_MAX,
    TAGS_MAX,
)
from cluster.access.roles import ROLE_SESSION_MAX_S, SESSION_MIN_S
from discovery.services.query import listed
from paceline.access.policies.context import CLUSTER_ACCOUNT
from paceline.access.policies.policy import Kind, Policy
from paceline.access.policies.problems import PolicyError

TOKEN_SESSION_DEFAULT_S: Final = 43_200
TOKEN_SESSION_MAX_S: Final = 129_600
"""https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html."""

POLICY_CHARACTERS_MAX: Final = 2_048
SHOWN_MAX: Final = 256

_ARN_CHARACTERS = (20, 2048)
_NAME_PATTERN: Final = r"[\w+=,.@-]*"
_EXTERNAL_ID_PATTERN: Final = r"[\w+=,.@:\/-]*"
_TAG_PATTERN: Final = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+"
_TAG_VALUE_PATTERN: Final = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*"
_ROLE: Final = re.compile(rf"arn:aws:iam::{CLUSTER_ACCOUNT}:role/([A-Za-z0-9+=,.@_-]{{1,64}})")
_WHOLE: Final = re.compile(r"[0-9]{1,9}")

_TAG_NAMES: Final = re.compile(r"Tags\.member\.[0-9]{1,9}\.\w{1,64}", re.ASCII)
_TRANSITIVE_NAMES: Final = re.compile(r"TransitiveTagKeys\.member\.[0-9]{1,9}")

_NOT_HERE: Final = {
    "SerialNumber": "there are no MFA devices here",
    "TokenCode": "there are no MFA devices here",
    "PolicyArns": "a cluster has no managed policies; pass the document in Policy",
    "ProvidedContexts": "there are no providers of contexts here",
}


@dataclass(frozen=True, slots=True)
class AssumeRole:
    """``role``: its name. ``duration_s`` None: the default."""

    role_arn: str
    role: str
    session: str
    duration_s: int | None
    policy: str | None
    tags: Mapping[str, str]
    transitive: tuple[str, ...]
    external_id: str
    source_identity: str


class _Checks:
    """Gathers what is wrong, which AWS says all at once."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters
        self._said: list[str] = []

    def text(
        self, name: str, lengths: tuple[int, int], pattern: str = "", *, required: bool = False
    ) -> str | None:
        value = self._parameters.get(name)
        where = name[:1].lower() + name[1:]
        if value is None:
            if required:
                self._wrong("null", where, "Member must not be null")
            return None
        self.value(value, where, lengths, pattern)
        return value

    def value(self, value: str, where: str, lengths: tuple[int, int], pattern: str = "") -> None:
        shortest, longest = lengths
        if len(value) < shortest:
            self._wrong(
                value, where, f"Member must have length greater than or equal to {shortest}"
            )
        if len(value) > longest:
            self._wrong(value, where, f"Member must have length less than or equal to {longest}")
        if pattern and not _fits(value, pattern):
            self._wrong(value, where, f"Member must satisfy regular expression pattern: {pattern}")

    def seconds(self, name: str, longest: int) -> int | None:
        value = self._parameters.get(name)
        where = name[:1].lower() + name[1:]
        if value is None:
            return None
        if not _WHOLE.fullmatch(value):
            self._wrong(value, where, "Member must be a whole number")
            return None
        if int(value) < SESSION_MIN_S:
            self._wrong(
                value, where, f"Member must have value greater than or equal to {SESSION_MIN_S}"
            )
        if int(value) > longest:
            self._wrong(value, where, f"Member must have value less than or equal to {longest}")
        return int(value)

    def few(self, entries: list[dict[str, str]], where: str) -> None:
        if len(entries) > TAGS_MAX:
            self._wrong(
                f"{len(entries)} entries",
                where,
                f"Member must have length less than or equal to {TAGS_MAX}",
            )

    def end(self) -> None:
        """Denied."""
        if self._said:
            count = len(self._said)
            raise invalid(
                f"{count} validation error{'s' if count > 1 else ''} detected: "
                + "; ".join(self._said)
            )

    def _wrong(self, value: str, where: str, rule: str) -> None:
        shown = value if value == "null" else f"'{value[:SHOWN_MAX]}'"
        self._said.append(f"Value {shown} at '{where}' failed to satisfy constraint: {rule}")


def _fits(value: str, pattern: str) -> bool:
    """``pattern``: as AWS writes it."""
    if pattern in (_TAG_PATTERN, _TAG_VALUE_PATTERN):
        return all(one.isalnum() or one in "_.:/=+-@" or one.isspace() for one in value)
    return re.fullmatch(pattern, value, re.ASCII) is not None


def invalid(message: str) -> Denied:
    return Denied("ValidationError", message)


def get_session_token(parameters: Mapping[str, str]) -> int:
    """How long it shall be good for, in seconds. Denied."""
    _only(parameters, ("DurationSeconds",))
    checks = _Checks(parameters)
    duration_s = checks.seconds("DurationSeconds", TOKEN_SESSION_MAX_S)
    checks.end()
    return TOKEN_SESSION_DEFAULT_S if duration_s is None else duration_s


def get_caller_identity(parameters: Mapping[str, str]) -> None:
    """Denied."""
    _only(parameters, ())


def assume_role(parameters: Mapping[str, str]) -> AssumeRole:
    """Denied."""
    _only(
        parameters,
        (
            *("RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "ExternalId"),
            "SourceIdentity",
        ),
        (_TAG_NAMES, _TRANSITIVE_NAMES),
    )
    checks = _Checks(parameters)
    arn = checks.text("RoleArn", _ARN_CHARACTERS, required=True)
    session = checks.text("RoleSessionName", (2, 64), _NAME_PATTERN, required=True)
    duration_s = checks.seconds("DurationSeconds", ROLE_SESSION_MAX_S)
    policy = checks.text("Policy", (1, POLICY_CHARACTERS_MAX))
    external_id = checks.text("ExternalId", (2, 1224), _EXTERNAL_ID_PATTERN)
    source_identity = checks.text("SourceIdentity", (2, 64), _NAME_PATTERN)
    tags = _tags(parameters, checks)
    transitive = _transitive(parameters, checks)
    checks.end()
    assert arn is not None
    assert session is not None
    named = _ROLE.fullmatch(arn)
    if named is None:
        raise invalid(f"{arn[:SHOWN_MAX]} is invalid")
    if source_identity is not None and source_identity.startswith("aws:"):
        raise invalid("SourceIdentity cannot begin with aws:")
    if policy is not None:
        check_policy(policy)
    return AssumeRole(
        arn,
        named[1],
        session,
        duration_s,
        policy,
        tags,
        transitive,
        external_id or "",
        source_identity or "",
    )


def check_policy(text: str) -> None:
    """Denied: it is no policy of a session."""
    try:
        Policy.parse(text, "Policy", Kind.SESSION, POLICY_CHARACTERS_MAX)
    except PolicyError as error:
        raise Denied("MalformedPolicyDocument", str(error)) from None


def _tags(parameters: Mapping[str, str], checks: _Checks) -> dict[str, str]:
    entries = listed(parameters, "Tags")
    checks.few(entries, "tags")
    tags: dict[str, str] = {}
    for number, entry in enumerate(entries[:TAGS_MAX], 1):
        if set(entry) != {"Key", "Value"}:
            raise invalid(f"tags.{number}.member has a Key and a Value, and nothing else")
        key, value = entry["Key"], entry["Value"]
        at = f"tags.{number}.member"
        checks.value(key, f"{at}.key", (1, TAG_KEY_CHARACTERS_MAX), _TAG_PATTERN)
        checks.value(value, f"{at}.value", (0, TAG_VALUE_CHARACTERS_MAX), _TAG_VALUE_PATTERN)
        tags[key] = value
    _refuse_twice(entry.get("Key", "") for entry in entries)
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("Tag keys cannot begin with aws:")
    return tags


def _transitive(parameters: Mapping[str, str], checks: _Checks) -> tuple[str, ...]:
    entries = listed(parameters, "TransitiveTagKeys")
    checks.few(entries, "transitiveTagKeys")
    keys = []
    for number, entry in enumerate(entries[:TAGS_MAX], 1):
        if set(entry) != {""}:
            raise invalid(f"transitiveTagKeys.{number}.member is the key of a tag")
        at = f"transitiveTagKeys.{number}.member"
        checks.value(entry[""], at, (1, TAG_KEY_CHARACTERS_MAX), _TAG_PATTERN)
        keys.append(entry[""])
    _refuse_twice(keys)
    return tuple(keys)


def _refuse_twice(keys: Iterable[str]) -> None:
    small = [key.lower() for key in keys]
    if len(set(small)) < len(small):
        raise invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")


def _only(
    parameters: Mapping[str, str], known: tuple[str, ...], lists: tuple[re.Pattern[str], ...] = ()
) -> None:
    """What is not understood could be meant to narrow what is asked for."""
    for name in parameters:
        first = name.partition(".")[0]
        if first in _NOT_HERE:
            raise invalid(f"{first} is not taken: {_NOT_HERE[first]}")
        if name not in known and not any(one.fullmatch(name) for one in lists):
            raise invalid(
                f"{name[:SHOWN_MAX]} is no parameter of this operation"
                + (f", which has {', '.join(known)}" if known else "")
            )

"""What records are made of: names, tags, policies, and the fields of their JSON. Pure.

All of it raises ValueError, with where and what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from paceline.access.policies.json_text import CHARACTERS_MAX as POLICY_CHARACTERS_MAX

NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
"""Those of IAM's users and roles, so that what names them elsewhere (ARNs, variables) can."""

TAGS_MAX = 50
TAG_KEY_CHARACTERS_MAX = 128
TAG_VALUE_CHARACTERS_MAX = 256
POLICIES_MAX = 10


def json_of(data: bytes) -> object:
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: 1 to 64 of letters, digits and +=,.@_-")


def check_policies(policies: Mapping[str, str]) -> None:
    """Name to text. Whether one can be read is another question."""
    if len(policies) > POLICIES_MAX:
        raise ValueError(f"{len(policies)} policies; the most are {POLICIES_MAX}")
    for name, text in policies.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a policy")
        check_policy(name, text)


def check_policy(name: str, text: str, characters_max: int = POLICY_CHARACTERS_MAX) -> None:
    if len(text) > characters_max:
        raise ValueError(
            f"the policy {name} has {len(text)} characters; the most are {characters_max}"
        )


def check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise ValueError(f"{len(tags)} tags; the most are {TAGS_MAX}")
    for tag, value in tags.items():
        if not 0 < len(tag) <= TAG_KEY_CHARACTERS_MAX or len(value) > TAG_VALUE_CHARACTERS_MAX:
            raise ValueError(
                f"the tag {tag!r}: a key has 1 to {TAG_KEY_CHARACTERS_MAX} characters, a value"
                f" {TAG_VALUE_CHARACTERS_MAX} at most"
            )


def only(fields: Mapping[str, object], known: set[str], where: str) -> None:
    """What is unknown is refused, since a misspelt ``disabled`` would let somebody in."""
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise ValueError(f"{where} has no {unknown[0]!r}; it has {', '.join(sorted(known))}")


def map_of(found: object, where: str) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{where}: a map expected, not {type(found).__name__}")
    return found


def text_of(found: object, where: str) -> str:
    if not isinstance(found, str):
        raise ValueError(f"{where}: a text expected, not {type(found).__name__}")
    return found


def texts_of(found: object, where: str) -> dict[str, str]:
    return {key: text_of(value, f"{where}, {key}") for key, value in map_of(found, where).items()}


def flag_of(found: object, where: str) -> bool:
    if not isinstance(found, bool):
        raise ValueError(f"{where}: true or false expected, not {type(found).__name__}")
    return found

"""Lists in pages. Pure.

A token names the last entry that was told, so that what is made or removed meanwhile moves nothing
else: an entry is told once, if it is there all the time.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from discovery.control.faults import invalid
from discovery.control.world import Asked

PAGE_MAX = 100
"""The most, and what is told to who does not say."""


def page(
    asked: Asked, operation: str, entries: Sequence[tuple[str, Any]], result: str
) -> dict[str, Any]:
    """``entries``: each with its key, in the order of keys. ``result``: the list's name. Denied."""
    most = asked.get("MaxResults", PAGE_MAX)
    if not 1 <= most <= PAGE_MAX:
        raise invalid(f"The parameter MaxResults must be between 1 and {PAGE_MAX}.")
    token = asked.get("NextToken")
    after = None if token is None else _after(token, operation)
    left = [one for one in entries if after is None or one[0] > after]
    told: dict[str, Any] = {result: [one for _, one in left[:most]]}
    if len(left) > most:
        told["NextToken"] = _token(operation, left[most - 1][0])
    return told


def _token(operation: str, after: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([operation, after]).encode()).decode()


def _after(token: str, operation: str) -> str:
    wrong = invalid("The parameter NextToken is none that this operation has given.")
    try:
        found = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise wrong from None
    match found:
        case [str(whose), str(after)] if whose == operation:
            return after
    raise wrong

"""Operators' command that tells which keys this node is asked for most."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from cluster.service.commands import AdminCommand
from node.operations import Operations
from node.requests.hot_keys import HotKey
from paceline.dax.keys import decode_key
from paceline.errors import ProtocolError, RequestError

COUNT_MAX = 100
COUNT = 20
HASH_CHARACTERS = 16


class HotKeysCommand:
    """Keys are item data: without ``keys=shown`` there are hashes in their place, which are the
    same on every node."""

    def __init__(self, operations: Operations, clock: Callable[[], float]) -> None:
        self._operations = operations
        self._clock = clock

    @property
    def commands(self) -> Mapping[str, AdminCommand]:
        """By the path of their POST."""
        return {"/hot-keys": self.tell}

    async def tell(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``count``, of 1 to 100; ``table``, only its keys; ``keys``: ``hashed`` or ``shown``.

        Returns how many reads there were in how many seconds, and of each key between how many and
        how many of these it had. ``key`` is in DynamoDB's JSON, if it is shown, and null for a
        table that this node does not know any more.
        """
        count = _count(query)
        shown = query.get("keys", "hashed")
        if shown not in ("hashed", "shown"):
            raise RequestError("ValidationException", "keys is 'hashed' or 'shown'")
        at = self._clock()
        hot_keys = self._operations.reads.counters.samples.hot_keys
        reads, seconds = hot_keys.seen(at)
        wanted = query.get("table")
        found: list[dict[str, Any]] = []
        for one in hot_keys.hottest(at):
            table = one.table.decode("utf-8", "replace")
            if wanted in (None, table) and len(found) < count:
                hashed = hashlib.sha256(one.key).hexdigest()[:HASH_CHARACTERS]
                told: dict[str, Any] = {"table": table, "hash": hashed}
                if shown == "shown":
                    told["key"] = self._readable(table, one)
                found.append({**told, "reads_min": one.least, "reads_max": one.reads})
        return {"reads": reads, "seconds": round(seconds, 3), "keys": found}

    def _readable(self, table: str, one: HotKey) -> Any:
        info = self._operations.tables.peek(table)
        if info is None:
            return None
        try:
            return _json(decode_key(info.schema, one.key))
        except (ProtocolError, ValueError):
            return None


def _json(value: Any) -> Any:
    """Bytes as DynamoDB has them in JSON, which is base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: _json(one) for name, one in value.items()}
    return value


def _count(query: Mapping[str, str]) -> int:
    text = query.get("count", str(COUNT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= COUNT_MAX):
        raise RequestError("ValidationException", f"count is a number of 1 to {COUNT_MAX}")
    return int(text)

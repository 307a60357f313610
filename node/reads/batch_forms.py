"""BatchGetItem for front ends that speak DAX items: bytes from the cache to the reply.

A cached item is a reply to GetItem, whose bytes a batch's reply has in it as they are; what is
fetched is put into that form once, to be kept and to be sent. It needs keys of one spelling, since
a key travels as it came, and whole items. All else is ``batch_get``'s, on which this is built.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from node.reads.batch_get import BatchGet, Wanted
from node.reads.cacheability import PlainPart
from node.reads.misses import DEFINE_S, TURN_BYTES
from node.tables.item_keys import HASH_BYTES_MAX, has_sane_key, lone_text
from node.tables.table_info import TableInfo
from paceline.dax.keys import decode_key, encode_key, has_one_spelling
from paceline.dax.responses import MISS_REPLY, item_reply
from paceline.dynamodb_operations import BATCH_GET_KEYS_MAX
from paceline.errors import ProtocolError
from paceline.types import Item, Params, Result

_log = structlog.get_logger()

HIT_BYTES_MAX: Final = 256 * 1024
"""Of what is cached, so much is put together in one go."""


@dataclass(slots=True)
class Forms:
    """``found``: by table, the key and the reply to GetItem of each item that there is. ``undone``:
    by table, the keys that DynamoDB left out. ``missed``: DynamoDB was asked for some."""

    found: dict[str, list[tuple[bytes, bytes]]]
    undone: dict[str, list[bytes]] = field(default_factory=dict)
    missed: bool = False


Asked = Mapping[str, tuple[TableInfo, Sequence[bytes]]]
"""By table, what it is, and the keys as DAX spells them."""


class BatchForms:
    def __init__(self, batches: BatchGet) -> None:
        self._batches = batches

    async def answer(self, asked: Asked, deadline: float) -> Forms | None:
        """Returns whole items. None: DynamoDB may refuse the request, or has what has no such
        form; nothing is counted then. Raises what ``BatchGet.answer`` does."""
        if not 0 < sum(len(keys) for _, keys in asked.values()) <= BATCH_GET_KEYS_MAX:
            return None
        forms = Forms({})
        wanted: dict[str, Wanted] = {}
        hits = size = 0
        hits_of: dict[str, int] = {}
        counters = self._batches.reads.counters
        samples = counters.samples
        for name, (table, keys) in asked.items():
            if not keys or not has_one_spelling(table.schema) or len(set(keys)) < len(keys):
                return None
            forms.found[name] = found = []
            missing: list[bytes] = []
            for key, reply in zip(keys, self._batches.reads.replies(name, keys), strict=True):
                if reply is None:
                    missing.append(key)
                    continue
                hits += 1
                if counters.hits + hits >= samples.due_at:
                    at = self._batches.clock()
                    samples.take(counters.hits + hits, name.encode(), key, reply, at)
                if reply is not MISS_REPLY:
                    size += len(reply)
                    found.append((key, reply))
            hits_of[name] = len(keys) - len(missing)
            if missing:
                part = self._wanted(name, table, missing)
                if part is None:
                    return None
                wanted[name] = part
        if size > HIT_BYTES_MAX:
            return None
        if wanted and not await self._fetched(forms, wanted, deadline):
            return None
        forms.missed = bool(wanted)
        counters.hits += hits
        counters.looked_up += hits
        counters.misses += sum(len(part.missing) for part in wanted.values())
        for name, count in hits_of.items():
            counters.look(name, "item", "hit", count)
        for part in wanted.values():
            counters.look(part.plain.table.name, "item", "miss", len(part.missing))
            encoded, at = part.plain.table.name.encode(), self._batches.clock()
            for _, key in part.missing:
                samples.missed(encoded, key, at)
        return forms

    def _wanted(self, name: str, table: TableInfo, keys: Sequence[bytes]) -> Wanted | None:
        missing: dict[tuple[str, bytes], Item] = {}
        schema, lone = table.schema, lone_text(table.schema)
        for key in keys:
            try:
                if lone is not None and 0 < len(key) <= HASH_BYTES_MAX:
                    missing[name, key] = {lone: {"S": key.decode()}}
                    continue
                attributes = decode_key(schema, key)
            except (ProtocolError, UnicodeDecodeError):
                return None
            if not has_sane_key(attributes, schema):
                return None
            if schema.range is not None and encode_key(schema, attributes) != key:
                return None  # its first part has a longer head than it needs
            missing[name, key] = attributes
        always = name in self._batches.reads.consistent
        return Wanted(PlainPart(table, missing, ()), {}, always, missing=missing)

    async def _fetched(self, forms: Forms, wanted: dict[str, Wanted], deadline: float) -> bool:
        batches = self._batches
        try:
            upstream: dict[str, Params] = {name: batches.ask(one) for name, one in wanted.items()}
            result = await batches.fetch({}, upstream, deadline)
            for name, part in wanted.items():
                if not await self._keep(forms, name, part, result):
                    return False
            return True
        finally:
            for part in wanted.values():
                for fill in part.fills.values():
                    batches.guard.abandon(fill)

    async def _keep(self, forms: Forms, name: str, part: Wanted, result: Result) -> bool:
        batches, table, found = self._batches, part.plain.table, forms.found[name]
        unprocessed: dict[str, Any] = (result.get("UnprocessedKeys") or {}).get(name, {})
        left = dict.fromkeys(part.missing)
        schema, lone = table.schema, lone_text(table.schema)
        taken = 0
        encode = batches.lists.encoding(table)
        try:
            undone = [encode_key(schema, key) for key in unprocessed.get("Keys", ())]
            for key in undone:
                del left[name, key]
            for item in result["Responses"][name]:
                key = encode_key(schema, item) if lone is None else item[lone]["S"].encode()
                del left[name, key]
                image = encode(item)
                if image is None:
                    image = await batches.lists.encode(item, table, DEFINE_S)
                    encode = batches.lists.encoding(table)
                found.append((key, self._kept(part, key, image)))
                taken += len(image)
                if taken > TURN_BYTES:
                    await asyncio.sleep(0)
                    taken = 0
                    encode = batches.lists.encoding(table)
        except Exception as error:
            # Which of the keys it belongs to may not be known, so no more is kept.
            _log.warning("a batch is asked for once more", table=name, reason=repr(error))
            return False
        for _, key in left:
            self._kept(part, key, None)
        if undone:
            forms.undone[name] = undone
        return True

    def _kept(self, part: Wanted, key: bytes, image: bytes | None) -> bytes:
        """Returns its reply."""
        batches, name = self._batches, part.plain.table.name
        fill = part.fills.pop((name, key), None)
        now = batches.clock()
        if fill is not None and batches.guard.end_fill(fill, now):
            entry = batches.reads.install((name, key), image, now)
            if entry is not None:
                return entry.reply
        return item_reply(image)

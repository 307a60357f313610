"""Brings what writers outside the cluster did to every node: records to fences of the primary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import structlog

from cluster.coherence.effects import Effect, effects_bytes
from cluster.coherence.primary import Primary
from node.replication.primary_driver import EpochOver, PrimaryDriver
from node.streams.answers import Record
from node.streams.own_writes import OwnWrites
from node.tables.table_info import TableInfo
from node.writes.fencing import INVALIDATION, FenceRefused, announced
from paceline.dax.attribute_lists import encode_item
from paceline.dax.keys import encode_key
from paceline.errors import NotSent, PacelineError, Unavailable
from paceline.types import Item, Key

log = structlog.get_logger()

FENCE_KEYS_MAX = 100
FENCE_BYTES_MAX = 128 * 1024
"""The most bytes of keys and effects of one fence. All open fences share a budget with the
cluster's own writes, which must not wait for a stream that catches up."""

EFFECT_BYTES_MAX = 8 * 1024
"""The most bytes of the effect of one record."""

FENCES_MAX = 4
"""The most fences of all followed streams that are open at a time, for the same reason."""

READY_S = 5.0
"""The time for a fence to be known to every node that may serve. A replica that hangs takes two
seconds."""

RETRY_S = 0.05
"""The pause while the primary cannot fence: its lease lapsed, or too many fences are open."""

EffectOf = Callable[[TableInfo, Key, Item | None, Item | None], Effect | None]
"""Gives what a change from the old to the new image may have done to the table's indexes."""


class ListIds(Protocol):
    def list_id(self, names: tuple[str, ...]) -> int:
        """Raises LookupError for a list that is not registered."""


class Invalidation:
    """Applies records. A record is applied like a write that succeeded just now and left an unknown
    image: fence, wait until every node that may serve holds it, settle. To apply a record twice
    does no harm."""

    def __init__(
        self,
        driver: PrimaryDriver,
        own: OwnWrites,
        lists: ListIds,
        effect_of: EffectOf | None = None,
    ) -> None:
        self._driver = driver
        self._own = own
        self._lists = lists
        self._effect_of = effect_of
        self._room = asyncio.Semaphore(FENCES_MAX)

    async def apply(self, primary: Primary, table: TableInfo, records: Sequence[Record]) -> int:
        """Returns, when no node serves anything older than these records, how many of them were
        only the echo of own writes. Raises EpochOver, or Unavailable if it is not certain; then it
        has to be done again."""
        foreign: dict[Key, Effect | None] = {}
        echoes = 0
        strange = False
        for record in records:
            try:
                key = (table.name, encode_key(table.schema, record.keys))
            except ValueError:
                # Of a table with another schema: the one before this, most likely.
                strange = True
                continue
            effect = self._effect(table, key, record)
            if self._is_echo(table, key, record, effect):
                echoes += 1
            elif key in foreign:
                foreign[key] = _both(foreign[key], effect)
            else:
                foreign[key] = effect
        if strange:
            log.warning("stream records do not fit the table, flushing it", table=table.name)
            await self.flush(primary, table.name)
        for part in _parts(foreign):
            await self._fence(primary, part)
        return echoes

    async def flush(self, primary: Primary, table: str) -> None:
        """Returns when no node serves anything of ``table`` that was cached before. Raises
        EpochOver, or Unavailable if it is not certain."""
        if primary is not self._driver.primary:
            raise EpochOver("the epoch ended")
        self._driver.flush(table)
        # The flush travels before this fence, so whoever holds the one has done the other.
        await self._fence(primary, {})

    def _effect(self, table: TableInfo, key: Key, record: Record) -> Effect | None:
        if self._effect_of is None or not record.images:
            return None
        effect = self._effect_of(table, key, record.old, record.new)
        # Without an effect more is evicted than need be; a fence has room for keys first.
        return effect if effects_bytes((effect,)) <= EFFECT_BYTES_MAX else None

    def _is_echo(self, table: TableInfo, key: Key, record: Record, effect: Effect | None) -> bool:
        if not self._own.expects(key):
            return False
        try:
            if not record.images:
                raise ValueError("the record does not say what the item became")
            new = record.new
            item = None if new is None else encode_item(new, table.schema, self._lists.list_id)
        except (LookupError, ValueError, PacelineError):
            self._own.forget([key])
            return False
        return self._own.is_echo(key, item, effect)

    async def _fence(self, primary: Primary, keys: Mapping[Key, Effect | None]) -> None:
        effects = tuple(keys.values())
        async with self._room:
            while True:  # until the epoch ends: a primary without a lease gets one or another does
                self._own.forget(keys)
                try:
                    return await announced(
                        self._driver, primary, tuple(keys), READY_S, INVALIDATION, effects=effects
                    )
                except FenceRefused:
                    # As long as the lease is not valid, nobody serves for longer than it lasted.
                    await asyncio.sleep(RETRY_S)
                except NotSent as error:
                    raise Unavailable(str(error)) from error


def _both(one: Effect | None, other: Effect | None) -> Effect | None:
    """Returns an effect that covers both changes; None stands for anything."""
    if one is None or other is None or one.schema != other.schema:
        return None
    if one.touches is None or other.touches is None:
        return Effect(one.schema, None)
    return Effect(one.schema, tuple(dict.fromkeys(one.touches + other.touches)))


def _parts(keys: Mapping[Key, Effect | None]) -> Iterator[dict[Key, Effect | None]]:
    part: dict[Key, Effect | None] = {}
    size = 0
    for key, effect in keys.items():
        key_size = len(key[0]) + len(key[1]) + effects_bytes((effect,))
        if part and (len(part) >= FENCE_KEYS_MAX or size + key_size > FENCE_BYTES_MAX):
            yield part
            part, size = {}, 0
        part[key] = effect
        size += key_size
    if part:
        yield part

"""The item cache and the query cache of a node, as the coherence protocol drives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.messages import WHOLE, Image
from cluster.coherence.queries import Change
from cluster.settings import CacheSettings, PerTable, QueryInvalidation
from node.cache.budget import Budget
from node.cache.entry import Ttl, Ttls
from node.cache.eviction import policy_named
from node.cache.item_cache import ItemCache
from node.cache.query_cache import QueryCache
from node.cache.query_keys import TableKeys
from paceline.types import Key

EXACT: PerTable[QueryInvalidation] = PerTable("exact", {})
NO_CHANGE = Change((), ())


def ttls_of(settings: CacheSettings) -> Ttls:
    """Returns the lifetimes as configured. An override of None keeps the general value."""

    def millis(override: int | None, general: int) -> int:
        return general if override is None else override

    general = (settings.record_ttl_millis, settings.negative_ttl_millis, settings.query_ttl_millis)
    return Ttls(
        general=Ttl.from_millis(*general),
        tables={
            name: Ttl.from_millis(
                millis(table.record_ttl_millis, general[0]),
                millis(table.negative_ttl_millis, general[1]),
                millis(table.query_ttl_millis, general[2]),
            )
            for name, table in settings.tables.items()
        },
    )


class Caches:
    """``cluster.coherence.messages.Caches`` over an item and a query cache of one budget."""

    def __init__(
        self,
        budget: Budget,
        ttls: Ttls,
        invalidation: PerTable[QueryInvalidation] = EXACT,
    ) -> None:
        self._invalidation = invalidation
        self._keys: dict[str, TableKeys] = {}
        self.budget = budget
        self.items = ItemCache(budget, ttls)
        self.queries = QueryCache(budget, ttls)
        self.on_clear: Callable[[str | None], None] | None = None
        """Called with each table (None: all) that is cleared, since it may be another one from then
        on."""

    @classmethod
    def from_settings(cls, settings: CacheSettings) -> Caches:
        return cls(
            Budget(settings.bytes_max, policy_named(settings.eviction)),
            ttls_of(settings),
            settings.per_table(lambda s: s.query_invalidation),
        )

    def configure(self, ttls: Ttls) -> None:
        """Sets other lifetimes for what is cached from now on."""
        self.items.ttls = ttls
        self.queries.ttls = ttls

    def park(self, key: Key) -> None:
        if key[1] == WHOLE:
            self.items.clear(key[0])
        else:
            self.items.park(*key)

    def restore(self, key: Key, now: float = -inf) -> None:
        self.items.restore(*key, now)

    def discard(self, key: Key) -> None:
        if key[1] == WHOLE:
            self.items.clear(key[0])
        else:
            self.items.discard(*key)

    def install(self, key: Key, image: Image, now: float) -> None:
        self.items.install(*key, image.item, now)

    def learn(self, keys: TableKeys) -> None:
        """Takes how the table's keys lie, before any of its queries is cached that writes matter
        to. Dropped when the table is cleared, since it may be another one then."""
        known = self._keys.get(keys.table)
        if known is not keys:
            self._keys[keys.table] = keys
            if known is not None and known.digest != keys.digest:
                self.queries.drop_table(keys.table)

    def change(self, key: Key, effect: Effect | None) -> Change:
        table = key[0]
        keys = self._keys.get(table)
        if keys is not None and key[1] != WHOLE:
            return keys.change(key[1], effect)
        return Change.of_table(table) if self.invalidates(table) else NO_CHANGE

    def invalidates(self, table: str) -> bool:
        """True if writes matter to the table's results."""
        return self._invalidation.of(table) != "off"

    def drop_queries(self, table: str, touches: Sequence[IndexTouch] | None) -> None:
        self.queries.drop(table, touches)

    def clear(self, table: str | None) -> None:
        self.items.clear(table)
        if table is None:
            self.queries.clear()
        else:
            self.queries.drop_table(table)
            self._keys.pop(table, None)
        if self.on_clear is not None:
            self.on_clear(table)

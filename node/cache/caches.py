"""The caches of a node together, as the coherence protocol drives them."""

from __future__ import annotations

from math import inf

from cluster.coherence.messages import Image
from cluster.settings import CacheSettings
from node.cache.budget import Budget
from node.cache.entry import Ttl, Ttls
from node.cache.eviction import policy_named
from node.cache.item_cache import ItemCache
from node.cache.query_cache import QueryCache
from paceline.types import Key


def ttls_of(settings: CacheSettings) -> Ttls:
    """Lifetimes as configured; an override of None keeps the general value."""

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

    def __init__(self, budget: Budget, ttls: Ttls) -> None:
        self.budget = budget
        self.items = ItemCache(budget, ttls)
        self.queries = QueryCache(budget, ttls)

    @classmethod
    def from_settings(cls, settings: CacheSettings) -> Caches:
        return cls(Budget(settings.bytes_max, policy_named(settings.eviction)), ttls_of(settings))

    def configure(self, ttls: Ttls) -> None:
        """Other lifetimes for what is cached from now on."""
        self.items.ttls = ttls
        self.queries.ttls = ttls

    def park(self, key: Key) -> None:
        self.items.park(*key)

    def restore(self, key: Key, now: float = -inf) -> None:
        self.items.restore(*key, now)

    def discard(self, key: Key) -> None:
        self.items.discard(*key)

    def install(self, key: Key, image: Image, now: float) -> None:
        self.items.install(*key, image.item, now)

    def drop_queries(self, table: str) -> None:
        self.queries.drop_table(table)

    def clear(self, table: str | None) -> None:
        self.items.clear(table)
        if table is None:
            self.queries.clear()
        else:
            self.queries.drop_table(table)

"""Which tables' caches answer reads that ask for consistency."""

from __future__ import annotations

from cluster.settings import CacheSettings


class ConsistentTables:
    """Tables whose setting ``consistent_reads`` is ``cache``.

    Every fill of such a table asks DynamoDB with ConsistentRead, so its entries are never older
    than any write that was acknowledged, however far DynamoDB's eventually consistent reads lag.
    Holds for the life of the process: entries filled under another setting could not be told
    apart.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self._reads = settings.per_table(lambda s: s.consistent_reads)
        self._invalidation = settings.per_table(lambda s: s.query_invalidation)

    def __contains__(self, table: str) -> bool:
        return self._reads.of(table) == "cache"

    def queries(self, table: str) -> bool:
        """Results that live until their TTL, whatever is written meanwhile, are not consistent."""
        return table in self and self._invalidation.of(table) != "off"


NO_TABLES = ConsistentTables(CacheSettings())

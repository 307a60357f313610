"""What worlds of plants are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.simulation.network import LinkWeather
from tests.simulation.options import MIX
from tests.simulation.upstream import Upstream

World = Mapping[str, Any]

READ_MOSTLY = {**MIX, "get": 200.0, "consistent get": 1.0, "put": 25.0}
ITEMS = {"get": 60.0, "put": 20.0, "update": 10.0, "delete": 6.0, "conditional put": 8.0}
PAGES = {"query": 40.0, "range query": 40.0, "put": 15.0, "update": 10.0, "delete": 5.0}
INDEX = {"index query": 90.0, "put": 10.0, "update": 12.0, "delete": 5.0}

CALM = Upstream(lagging=0.5, lag_s=2.0)
LATE = Upstream(late=0.3, late_s=2.0, lagging=0.5, lag_s=2.0)
SLOW_WRITES = Upstream(delay_s=0.01, slow=0.3, slow_s=0.5, lagging=0.5, lag_s=2.0)
SLOW_LINKS = LinkWeather(delay_s=0.005, slow=0.1, slow_s=0.3)
GOOD_LINKS = LinkWeather(delay_s=0.001)

# What nothing but the plant may disturb.
QUIET: World = {
    "troubles": {},
    "audits_per_s": 0.0,
    "cache_bytes": 0,
    "record_ttl_s": 300.0,
    "query_ttl_s": 300.0,
    "consistent_from_cache": False,
    "look_s": 0.2,
    "quiet": 0.0,
}
FEW_KEYS: World = {"hash_keys": 2, "partitions": 1, "ranges": 2}

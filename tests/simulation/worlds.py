"""Worlds by name: options in which the absence of a rule shows, in the place of those that a seed
draws. ``Options.in_world`` makes them; plants and tests name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.simulation.network import LinkWeather
from tests.simulation.options import DISK_TROUBLES, DOORS, LONG_QUARANTINE, MIX
from tests.simulation.rights import Rights
from tests.simulation.upstream import Upstream

World = Mapping[str, Any]

READ_MOSTLY = {**MIX, "get": 200.0, "consistent get": 1.0, "put": 25.0}

LATE = Upstream(late=0.1, late_s=6.0, lagging=0.3, lag_s=6.0)
"""Many writes land seconds after their callers have given up. For ``LONG_QUARANTINE``."""

_FEW_KEYS: World = {"hash_keys": 6, "partitions": 2, "ranges": 3, "cache_bytes": 0}
_LONG: World = {
    **_FEW_KEYS,
    "lease": LONG_QUARANTINE,
    "upstream": LATE,
    "links": LinkWeather(),
    "read_timeout_s": 0.5,
    "clients": 12,
    "think_s": 0.15,
    "mix": READ_MOSTLY,
    "record_ttl_s": 300.0,
    "query_ttl_s": 300.0,
    "quiet": 0.0,
}

_UNDESCRIBED: World = {
    **_FEW_KEYS,
    "nodes": 3,
    "mix": {"get": 60.0, "consistent get": 20.0, "put": 20.0, "update": 5.0, "delete": 3.0},
    "links": LinkWeather(),
    "read_timeout_s": 0.5,
    "troubles": {"flush": 1},
    "trouble_every_s": 1.0,
    "doors": {"http": 1},
    "clients": 12,
    "think_s": 0.02,
    "record_ttl_s": 300.0,
    "query_ttl_s": 300.0,
    "quiet": 0.0,
}

_DISKS: World = {
    "nodes": 3,
    "links": LinkWeather(),
    "upstream": Upstream(lagging=0.3, lag_s=2.0),
    "trouble_every_s": 0.7,
    "power_loss": 0.5,
    "compact_entries": 30,
    "liveness": True,
    "cache_bytes": 0,
    "record_ttl_s": 300.0,
    "data_dirs": True,
    "quiet": 0.0,
}

WORLDS: Mapping[str, World] = {
    "in callers' names": {
        "nodes": 3,
        "rights": Rights(principals=3, as_callers=True, seen_s=2.0),
        "troubles": {"crash": 1, "pause": 1},
        "trouble_every_s": 3.0,
        "upstream": Upstream(lagging=0.3, lag_s=2.0),
        "data_dirs": True,
        "story": None,
    },
    "descriptions are throttled": {
        **_UNDESCRIBED,
        "upstream": Upstream(describe_throttled=0.7, late=0.3, late_s=2.0),
    },
    "descriptions fail": {
        **_UNDESCRIBED,
        "upstream": Upstream(describe_failing=0.7, delay_s=0.05, slow=0.5, slow_s=0.4),
    },
    "descriptions are denied": {
        **_UNDESCRIBED,
        "upstream": Upstream(describe_denied=0.5, late=0.3, late_s=2.0),
    },
    "descriptions are late": {
        **_UNDESCRIBED,
        "upstream": Upstream(
            describe_slow=0.7, describe_slow_s=8.0, describe_denied=0.2, lagging=0.3, lag_s=2.0
        ),
    },
    "tables are made anew": {
        **_UNDESCRIBED,
        "doors": DOORS,
        "troubles": {"remake table": 1},
        "upstream": Upstream(lagging=0.3, lag_s=2.0, create_lag_s=1.0, late=0.02, late_s=2.0),
    },
    "long quarantine, crashes": {
        **_LONG,
        "nodes": 3,
        "troubles": {"crash": 1},
        "trouble_every_s": 3.0,
    },
    "long quarantine, two failovers": {
        **_LONG,
        "nodes": 5,
        "troubles": {"two failovers": 1},
        "trouble_every_s": 4.0,
    },
    "long quarantine, one node restarts": {
        **_LONG,
        "nodes": 1,
        "troubles": {"crash": 1},
        "trouble_every_s": 4.0,
    },
    "long quarantine, planned stops": {
        **_LONG,
        "nodes": 3,
        "troubles": {"planned stop": 1},
        "trouble_every_s": 4.0,
    },
    "long quarantine, members change": {
        **_LONG,
        "nodes": 4,
        "troubles": {"add member": 2, "remove member": 2, "crash": 1},
        "trouble_every_s": 3.0,
    },
    "founded anew": {
        **_LONG,
        "nodes": 3,
        "troubles": {"found anew": 1},
        "trouble_every_s": 4.0,
    },
    "one node without data directory": {
        **_LONG,
        "nodes": 1,
        "troubles": {"crash": 1},
        "trouble_every_s": 3.0,
        "data_dirs": False,
    },
    "disks fail": {
        **_DISKS,
        "troubles": {**DISK_TROUBLES, "crash": 3, "isolate": 3, "move leadership": 3},
    },
    "disks lose what they confirmed": {
        **_DISKS,
        "troubles": {"lost tail": 4, "isolate": 4, "cut links": 3, "crash": 2},
        "trouble_every_s": 0.4,
    },
    "disks are slow": {
        **_DISKS,
        "troubles": {"slow disk": 6, "two die": 3, "crash": 3},
        "trouble_every_s": 0.3,
        "power_loss": 1.0,
    },
    "disks lose what they confirmed, and leaders end": {
        **_DISKS,
        "troubles": {"lost and left": 1},
        "trouble_every_s": 3.0,
        "links": LinkWeather(),
        "clients": 6,
        "think_s": 0.3,
        "operations": 600,
    },
    "all power fails while disks are slow": {
        **_DISKS,
        "troubles": {"power fails": 1},
        "trouble_every_s": 4.0,
        "power_loss": 1.0,
        "links": LinkWeather(),
        "clients": 6,
        "think_s": 0.2,
        "operations": 600,
    },
    "disks run full": {
        **_DISKS,
        "troubles": {"full disk": 4, "crash": 2},
    },
    "no data directories": {
        **_LONG,
        "nodes": 3,
        "troubles": {"crash": 2, "found anew": 1},
        "trouble_every_s": 3.0,
        "data_dirs": False,
    },
}

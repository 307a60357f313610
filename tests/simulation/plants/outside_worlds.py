"""Worlds with writers outside the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tests.simulation.options import Lease
from tests.simulation.outside import Outside
from tests.simulation.plants.weather import GOOD_LINKS, QUIET, World
from tests.simulation.upstream import Upstream

SPLITTING = Outside(shards=2, split_every_s=0.7)

_FOLLOWED: World = {
    **QUIET,
    "nodes": 3,
    "data_dirs": True,
    "mix": {"get": 100.0, "batch get": 5.0, "put": 10.0, "update": 5.0, "delete": 8.0},
    "links": GOOD_LINKS,
    "upstream": Upstream(lagging=0.3, lag_s=2.0),
    "lease": Lease(read_s=0.6, quarantine_s=2.5),
    "hash_keys": 10,
    "partitions": 2,
    "ranges": 3,
    "clients": 8,
    "think_s": 0.15,
    "operations": 3000,
    "outside": Outside(),
}

OUTSIDE_WORLDS: Mapping[str, World] = {
    "outside writers": {**_FOLLOWED, "mix": {**_FOLLOWED["mix"], "query": 20.0, "scan": 5.0}},
    "outside writers and failovers": {
        **_FOLLOWED,
        "troubles": {"crash": 2, "planned stop": 2, "isolate": 1},
        "trouble_every_s": 4.0,
    },
    "outside writers and slow streams": {
        **_FOLLOWED,
        "outside": Outside(write_every_s=0.1, checkpoint_s=60.0),
        "upstream": Upstream(delay_s=0.1, slow=0.6, slow_s=0.8),
        "troubles": {"planned stop": 1},
        "trouble_every_s": 5.0,
    },
    "outside deletions and own ones": {
        **_FOLLOWED,
        "mix": {"get": 100.0, "put": 20.0, "delete": 30.0},
        "outside": Outside(write_every_s=0.08),
    },
    "outside writers and shards that split": {
        **_FOLLOWED,
        "outside": replace(SPLITTING, throttled=0.05, failing=0.05),
    },
    "outside writers, shards that split, and failovers": {
        **_FOLLOWED,
        "outside": replace(SPLITTING, split_every_s=2.5),
        "troubles": {"crash": 1, "planned stop": 1},
        "trouble_every_s": 4.0,
    },
    "outside writers and tables made anew": {
        **_FOLLOWED,
        "doors": {"http": 1},
        "troubles": {"remake table": 1},
        "trouble_every_s": 3.0,
    },
    "tables made anew outside": {
        **_FOLLOWED,
        "doors": {"http": 1},
        "schema_check_s": 0.5,
        "outside": Outside(write_every_s=0.0, remake_every_s=4.0, followed=False),
    },
    "followed tables made anew outside": {
        **_FOLLOWED,
        "doors": {"http": 1},
        "outside": Outside(remake_every_s=6.0),
    },
}

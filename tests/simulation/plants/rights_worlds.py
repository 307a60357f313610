"""Worlds in which all clients sign, and what they may do changes."""

from __future__ import annotations

from collections.abc import Mapping

from tests.simulation.plants.weather import GOOD_LINKS, QUIET, World
from tests.simulation.rights import Rights
from tests.simulation.upstream import Upstream

_RIGHTS: World = {
    **QUIET,
    "nodes": 3,
    "data_dirs": True,
    "mix": {"get": 100.0, "put": 10.0, "update": 3.0, "query": 5.0},
    "links": GOOD_LINKS,
    "upstream": Upstream(),
    "doors": {"http": 2, "dax": 4, "grpc": 1, "raw": 1},
    "hash_keys": 6,
    "partitions": 2,
    "ranges": 3,
    "clients": 8,
    "think_s": 0.05,
    "operations": 2000,
    "rights": Rights(principals=3, change_every_s=0.3, stale_s=3.0),
}

RIGHTS_WORLDS: Mapping[str, World] = {
    "rights change": _RIGHTS,
    "rights change, by HTTP": {**_RIGHTS, "doors": {"http": 1}},
    "rights change, batches": {
        **_RIGHTS,
        "doors": {"dax": 1},
        "mix": {"batch get": 100.0, "put": 10.0},
        "hash_keys": 2,
        "partitions": 1,
        "ranges": 2,
        "rights": Rights(principals=6, change_every_s=0.8, stale_s=0.6),
    },
    "rights change while disks are full": {
        **_RIGHTS,
        "rights": Rights(principals=3, change_every_s=0.3, stale_s=60.0),
        "troubles": {"full disk": 1},
        "trouble_every_s": 2.0,
    },
    "rights change while nodes are cut off": {
        **_RIGHTS,
        "rights": Rights(principals=3, change_every_s=0.3, stale_s=1.0),
        "troubles": {"isolate": 3, "crash": 1},
        "trouble_every_s": 2.0,
    },
}

"""Worlds in which a cluster is founded, or its members change, while things go wrong."""

from __future__ import annotations

from collections.abc import Mapping

from tests.simulation.membership import FoundingTroubles, Story
from tests.simulation.network import LinkWeather
from tests.simulation.plants.weather import QUIET, World
from tests.simulation.upstream import Upstream

_FEW_CALLS: World = {
    **QUIET,
    "mix": {"get": 40.0, "consistent get": 5.0, "put": 20.0, "update": 10.0, "delete": 5.0},
    "links": LinkWeather(delay_s=0.002),
    "upstream": Upstream(),
    "clients": 3,
    "think_s": 0.2,
    "operations": 300,
    "trouble_every_s": 2.0,
    "data_dirs": True,
}
_FOUNDED: World = {**_FEW_CALLS, "nodes": 3, "operations": 20}
_DYING = FoundingTroubles(for_s=8.0, every_s=0.7, at_steps=0.4, promise_s=0.3, lost=0.05)
_CRASHES = {"crash": 3, "isolate": 1, "one way": 1, "move leadership": 2}
_LATE_LETTERS = LinkWeather(delay_s=0.002, slow=0.3, slow_s=1.5)

MEMBER_WORLDS: Mapping[str, World] = {
    "founders die": {**_FOUNDED, "founding": _DYING},
    "founders lose a disk": {
        **_FOUNDED,
        "founding": FoundingTroubles(
            for_s=3.0, every_s=0.5, at_steps=0.5, promise_s=0.3, lost=0.2, emptied=1.0
        ),
    },
    "a founder has another cluster's disk": {
        **_FOUNDED,
        "founding": FoundingTroubles(for_s=3.0, at_steps=0.3, foreign=1.0),
    },
    "it grows from one node": {
        **_FEW_CALLS,
        "nodes": 1,
        "troubles": _CRASHES,
        "story": Story("grow", newcomers_lost=0.4),
    },
    "it grows from one node, and letters are late": {
        **_FEW_CALLS,
        "nodes": 1,
        "links": _LATE_LETTERS,
        "story": Story("grow", newcomers_lost=0.8),
    },
    "it grows by disks of another cluster": {
        **_FEW_CALLS,
        "nodes": 1,
        "story": Story("grow", newcomers_foreign=0.8),
    },
    "it grows and shrinks": {
        **_FEW_CALLS,
        "nodes": 1,
        "troubles": _CRASHES,
        "story": Story("grow", shrinks=True),
    },
    "members are replaced one by one": {
        **_FEW_CALLS,
        "nodes": 3,
        "troubles": _CRASHES,
        "story": Story("replace"),
    },
    "one node is replaced by another": {
        **_FEW_CALLS,
        "nodes": 1,
        "troubles": {"crash": 1},
        "trouble_every_s": 4.0,
        "story": Story("replace"),
    },
    "members lose their disks": {
        **_FEW_CALLS,
        "nodes": 3,
        "troubles": _CRASHES,
        "trouble_every_s": 3.0,
        "story": Story("readmit", lag_s=1.0),
    },
    "members lose their disks twice": {
        **_FEW_CALLS,
        "nodes": 3,
        "story": Story("readmit", lag_s=2.0),
    },
    "a majority is lost for good": {
        **_FEW_CALLS,
        "nodes": 3,
        "story": Story("recover", lag_s=1.0),
    },
}

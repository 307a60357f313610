"""What may go wrong in a run, how often, and what the clients do: one record, drawn from a seed.

Each seed enables some of the faults only (Groce et al., "Swarm testing", 2012): a run in which
everything breaks at once seldom gets to the states that need a long quiet stretch first.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.membership import (
    FOUNDING_SHARE,
    LEFT_OUT,
    NODES,
    STORY_SHARE,
    FoundingTroubles,
    Story,
    drawn_founding,
    drawn_story,
)
from tests.simulation.network import LinkWeather
from tests.simulation.outside import Outside
from tests.simulation.rights import Rights, drawn_rights
from tests.simulation.upstream import Upstream

TROUBLES: Mapping[str, float] = {
    "crash": 6,
    "pause": 8,
    "long pause": 3,
    "isolate": 6,
    "one way": 5,
    "split": 4,
    "cut links": 6,
    "slow link": 4,
    "no dynamodb": 4,
    "break stream": 8,
    "planned stop": 4,
    "two failovers": 3,
    "new disk": 2,
    "found anew": 1,
    "add member": 2,
    "remove member": 2,
    "evict": 10,
    "flush": 4,
    "move leadership": 4,
    "remake table": 2,
}
"""What a run may suffer, and how often each happens in comparison."""

LATER_TROUBLES: Mapping[str, float] = {"two die": 2}
"""Drawn after everything else, so that the seeds from before them go as they went."""

DISK_TROUBLES: Mapping[str, float] = {
    "slow disk": 5,
    "full disk": 5,
    "failed sync": 3,
    "lost tail": 4,
    "flipped bit": 3,
}
"""Of part of the seeds: ``tests.simulation.disk_troubles``."""

DISK_SHARE = 0.3

MIX: Mapping[str, float] = {
    "get": 45,
    "get together": 5,
    "consistent get": 4,
    "batch get": 6,
    "transact get": 1,
    "put": 12,
    "update": 8,
    "delete": 4,
    "conditional put": 4,
    "batch write": 3,
    "transact write": 3,
    "query": 8,
    "range query": 5,
    "index query": 4,
    "scan": 2,
    "select": 2,
    "statement": 2,
    "batch statement": 1,
    "transact statement": 1,
    "unreadable statement": 0.5,
}
"""What clients do, and how often each in comparison."""

STATEMENTS = (
    "statement",
    "batch statement",
    "transact statement",
    "unreadable statement",
)
"""They fence whole tables, so that little is cached where they are frequent."""

DOORS: Mapping[str, float] = {"http": 4, "dax": 4, "grpc": 2, "raw": 1}
"""The ways into a node: ``tests.simulation.doors``."""

OUTSIDE_SHARE = 0.15
"""Of all seeds: they have writers outside the cluster, whose streams it follows."""

RIGHTS_SHARE = 0.15
"""Of all seeds: all clients sign, and what they may do changes."""

QUARANTINE_SHARE = 0.85
"""By when, in quarantines, a write has landed and an eventually consistent read has caught up."""

WRITES = (
    "put",
    "update",
    "delete",
    "conditional put",
    "batch write",
    "transact write",
    *STATEMENTS,
)


@dataclass(frozen=True)
class Lease:
    primary_s: float = 1.5
    renew_s: float = 0.25
    read_s: float = 1.0
    margin: float = 0.1
    quarantine_s: float = 3.0


LONG_QUARANTINE = Lease(primary_s=0.4, renew_s=0.1, read_s=0.3, quarantine_s=8.0)
"""Twenty times the primary lease, which is more than in production: whatever a quarantine guards is
alive through several epochs."""


@dataclass(frozen=True)
class Options:
    """Times in seconds of true time unless said otherwise."""

    nodes: int = 3
    operations: int = 2000
    """Calls of clients, after which troubles end."""
    clients: int = 6
    think_s: float = 0.02
    """Mean pause of a client between two calls."""
    look_s: float = 0.2
    """How often a node's role looks at its parts when none of them is due. Nothing may depend on
    it but how late things are noticed."""
    clock_drift: float = 0.03
    """Rates of clocks lie within 1 plus or minus this; below the margin of leases."""
    lease: Lease = field(default_factory=Lease)
    links: LinkWeather = field(default_factory=LinkWeather)
    upstream: Upstream = field(default_factory=Upstream)
    read_timeout_s: float = 1.0
    schema_check_s: float = 3.0
    """How often nodes ask whether their tables are still the same."""
    deadline_s: tuple[float, ...] = (0.5, 2.0, 5.0)
    """What nodes get for one operation by gRPC."""
    request_timeout_s: float = 5.0
    """What they give themselves for one by HTTP and DAX, which tell no deadline."""
    patience_s: float = 6.0
    """What a client waits for an answer."""
    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    doors: Mapping[str, float] = field(default_factory=lambda: DOORS)
    odd: float = 0.1
    """Part of the requests that say it in an unusual way: legacy parameters, projections."""
    returning: float = 0.3
    """Part of the writes of single items that ask for ReturnValues."""
    troubles: Mapping[str, float] = field(default_factory=dict)
    trouble_every_s: float = 1.5
    consistent_from_cache: bool = False
    """Reads that ask for consistency are answered from the caches: all writers are clients."""
    audits_per_s: float = 0.0
    """What each node's auditor may read. It has nobody to accuse."""
    cache_bytes: int = 0
    """Of each node; 0: all fits."""
    record_ttl_s: float = 300.0
    query_ttl_s: float = 300.0
    quiet: float = 0.0
    """Chance, at each call, that nobody writes for a while."""
    hash_keys: int = 6
    partitions: int = 3
    ranges: int = 4
    outside: Outside | None = None
    """Writers outside the cluster, if there are any."""
    power_loss: float = 0.0
    """Part of the crashes in which what was not synced is lost, or half of it."""
    compact_entries: int = 2000
    """Of the log, after which it becomes a snapshot."""
    data_dirs: bool = True
    """False: what a process has on its disk ends with it, as without PACELINE_DATA_DIR."""
    founding: FoundingTroubles | None = None
    """What goes wrong while the cluster is founded."""
    story: Story | None = None
    """What an operator does meanwhile."""
    rights: Rights | None = None
    """Who may do what, if everybody has to sign."""
    liveness: bool = True
    """At the end everything heals, and the cluster has to work within a bound."""

    @property
    def disks_fail(self) -> bool:
        return bool(self.power_loss) or not DISK_TROUBLES.keys().isdisjoint(self.troubles)

    @classmethod
    def in_world(cls, world: Mapping[str, Any], seed: int, operations: int = 2000) -> Options:
        """``world``: what is not drawn."""
        drawn = cls.drawn(random.Random(f"{seed} options"), operations)
        return replace(drawn, **{"outside": None, **world})

    @classmethod
    def of_seed(cls, seed: int, operations: int = 2000) -> Options:
        drawn = cls.drawn(random.Random(f"{seed} options"), operations)
        drawn = _with_members(drawn, random.Random(f"{seed} members"))
        return _with_rights(drawn, random.Random(f"{seed} rights"))

    @classmethod
    def drawn(cls, rng: random.Random, operations: int = 2000) -> Options:
        lease = _lease(rng)
        calm = rng.random() < 0.15
        chosen = {name: w for name, w in TROUBLES.items() if rng.random() < 0.4}
        drawn = cls(
            nodes=rng.choice([1, 2, 3, 3, 3, 3, 4, 5, 5]),
            operations=operations,
            clients=rng.choice([6, 12, 24]),
            think_s=rng.choice([0.005, 0.02, 0.06]),
            look_s=rng.choice([0.05, 0.2, 0.2]),
            clock_drift=rng.choice([0.0, 0.03, 0.04]),
            lease=lease,
            links=_links(rng),
            upstream=_upstream(rng, lease.quarantine_s),
            read_timeout_s=rng.choice([0.5, 1.0]),
            schema_check_s=rng.choice([0.5, 3.0, 3.0]),
            request_timeout_s=rng.choice([1.0, 5.0, 5.0, 10.0]),
            mix=_mix(rng),
            doors=_doors(rng),
            odd=rng.choice([0.0, 0.1, 0.3]),
            troubles={} if calm else chosen,
            trouble_every_s=rng.choice([0.5, 1.5, 4.0]),
            consistent_from_cache=rng.random() < 0.25,
            audits_per_s=rng.choice([0.0, 0.0, 10.0]),
            cache_bytes=rng.choice([0, 0, 6_000, 12_000]),
            record_ttl_s=rng.choice([300.0, 300.0, 1.0]),
            query_ttl_s=rng.choice([300.0, 300.0, 1.0]),
            quiet=_some(rng, 0.001, 0.005),
            hash_keys=rng.choice([2, 6, 12]),
            partitions=rng.choice([1, 3]),
            ranges=rng.choice([2, 5]),
            data_dirs=rng.random() < 0.85,
        )
        more = {name: w for name, w in LATER_TROUBLES.items() if rng.random() < 0.4}
        troubles = {} if calm else {**chosen, **more}
        outside = _outside(rng) if rng.random() < OUTSIDE_SHARE else None
        if outside is not None:
            # An auditor accuses, as it should, what others wrote and the cluster does not know yet.
            drawn = replace(drawn, audits_per_s=0.0)
        drawn = replace(drawn, troubles=troubles, outside=outside)
        return drawn if calm or rng.random() >= DISK_SHARE else _with_bad_disks(drawn, rng)


def _with_bad_disks(drawn: Options, rng: random.Random) -> Options:
    chosen = {name: w for name, w in DISK_TROUBLES.items() if rng.random() < 0.6}
    troubles = {**drawn.troubles, **chosen}
    return replace(
        drawn,
        troubles=troubles,
        power_loss=rng.choice([0.0, 0.3, 1.0]),
        compact_entries=rng.choice([20, 60, 2000]),
    )


def _with_members(drawn: Options, rng: random.Random) -> Options:
    chosen = rng.random()
    if chosen < FOUNDING_SHARE and drawn.data_dirs:
        return replace(drawn, founding=drawn_founding(rng))
    if not FOUNDING_SHARE <= chosen < FOUNDING_SHARE + STORY_SHARE:
        return drawn
    story = drawn_story(rng)
    troubles = {name: w for name, w in drawn.troubles.items() if name not in LEFT_OUT}
    if troubles and rng.random() < 0.3:
        troubles["all die"] = 2.0
    return replace(
        drawn,
        nodes=rng.choice(NODES[story.kind]),
        troubles=troubles,
        data_dirs=True,
        story=story,
    )


def _with_rights(drawn: Options, rng: random.Random) -> Options:
    """Not where the log is lost, and with it all principals."""
    if rng.random() >= RIGHTS_SHARE or drawn.story is not None or not drawn.data_dirs:
        return drawn
    troubles = {name: w for name, w in drawn.troubles.items() if name not in LEFT_OUT}
    return replace(drawn, troubles=troubles, rights=drawn_rights(rng))


def _outside(rng: random.Random) -> Outside:
    return Outside(
        write_every_s=rng.choice([0.1, 0.5, 2.0]),
        images=rng.random() < 0.8,
        appear_s=rng.choice([0.05, 0.3, 1.5]),
        shards=rng.choice([1, 1, 3]),
        split_every_s=rng.choice([1.0, 5.0, 20.0]),
        iterator_life_s=rng.choice([2.0, 10.0]),
        retention_s=rng.choice([10.0, 60.0]),
        checkpoint_s=rng.choice([0.5, 2.0, 5.0]),
        throttled=_some(rng, 0.05, 0.3),
        failing=_some(rng, 0.05, 0.3),
    )


def _some(rng: random.Random, *values: float) -> float:
    """Zero for half of all seeds."""
    return rng.choice(values) if rng.random() < 0.5 else 0.0


def _lease(rng: random.Random) -> Lease:
    if rng.random() < 0.3:
        return LONG_QUARANTINE
    return Lease(read_s=rng.choice([0.6, 1.0, 1.4]), quarantine_s=rng.choice([2.5, 3.0, 4.0]))


def _mix(rng: random.Random) -> Mapping[str, float]:
    writes = rng.choice([1.0, 0.4, 0.15])
    mix = {
        name: w * rng.choice([0.3, 1, 1, 3]) * (writes if name in WRITES else 1.0)
        for name, w in MIX.items()
        if rng.random() < 0.85
    }
    if rng.random() < 0.65:
        mix = {name: w for name, w in mix.items() if name not in STATEMENTS}
    mix.setdefault("get", MIX["get"])
    mix.setdefault("put", MIX["put"])
    return mix


def _doors(rng: random.Random) -> Mapping[str, float]:
    doors = {name: w * rng.choice([0.3, 1, 3]) for name, w in DOORS.items() if rng.random() < 0.8}
    return doors or DOORS


def _links(rng: random.Random) -> LinkWeather:
    return LinkWeather(
        delay_s=rng.choice([0.0005, 0.002, 0.008]),
        slow=_some(rng, 0.01, 0.05, 0.2),
        slow_s=rng.choice([0.05, 0.3, 1.0]),
        breaks=_some(rng, 0.0005, 0.003),
        dropped=_some(rng, 0.002, 0.02),
        doubled=_some(rng, 0.01, 0.05),
        reordered=_some(rng, 0.01, 0.1),
        keepalive_s=rng.choice([0.5, 2.0, 5.0]),
    )


def _upstream(rng: random.Random, quarantine_s: float) -> Upstream:
    bound = QUARANTINE_SHARE * quarantine_s
    return Upstream(
        delay_s=rng.choice([0.001, 0.004, 0.02]),
        slow=_some(rng, 0.01, 0.1),
        slow_s=rng.choice([0.1, 0.8, 2.0]),
        slow_answers=_some(rng, 0.01, 0.1),
        unreachable=_some(rng, 0.01, 0.05),
        slow_connect=_some(rng, 0.01, 0.1),
        lost=_some(rng, 0.005, 0.02),
        broken=_some(rng, 0.005, 0.03),
        late=_some(rng, 0.01, 0.05),
        late_s=bound,
        error_before=_some(rng, 0.005, 0.03),
        error_after=_some(rng, 0.005, 0.03),
        throttled=_some(rng, 0.01, 0.05),
        unprocessed=_some(rng, 0.1, 0.3),
        busy=_some(rng, 0.05, 0.3),
        busy_s=rng.choice([0.05, 0.3]),
        batches_denied=rng.random() < 0.1,
        lagging=_some(rng, 0.2, 0.8),
        lag_s=bound,
        index_lag_s=rng.choice([0.0, 0.3, 1.0]) * bound,
        **_descriptions(rng),
    )


def _descriptions(rng: random.Random) -> dict[str, float]:
    """Of tables. Most seeds have a DynamoDB that gives them readily."""
    drawn = {
        "describe_throttled": _some(rng, 0.1, 0.5),
        "describe_failing": _some(rng, 0.05, 0.3),
        "describe_denied": _some(rng, 0.02, 0.2),
        "describe_slow": _some(rng, 0.1, 0.5),
        "create_lag_s": _some(rng, 0.3, 2.0),
    }
    return drawn if rng.random() < 0.3 else {}

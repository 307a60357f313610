"""Bugs on purpose: each leaves one rule out of the production code, by a patch for one run.

``python -m tests.simulation.planted [NAME]...`` prints the table of bugs, the seeds that catch
them, and the operations that it took.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cluster.coherence.replica
from cluster.coherence.followers import Followers
from cluster.coherence.guard import Fill, Guard
from cluster.coherence.memory import reflect
from cluster.coherence.messages import Fence, LeaseReply, LogMessage, Outcome, Position
from cluster.coherence.primary import Primary
from cluster.coherence.replica import Replica
from cluster.commands import Grant
from cluster.lease import LeaseKeeper
from node.backend.calls import Refusal
from node.backend.writes import _Round
from node.read_path import Found, ReadPath
from paceline.types import Key
from tests.simulation.network import LinkWeather
from tests.simulation.options import MIX, Lease, Options
from tests.simulation.runner import JOBS
from tests.simulation.simulation import Mutation, Report, simulate
from tests.simulation.upstream import Upstream

OPERATIONS = 1500
SEEDS_MAX = 60
"""Far more than any of them needs."""

READ_MOSTLY = {**MIX, "get": 200.0, "consistent get": 1.0, "put": 25.0}


@dataclass(frozen=True)
class Plant:
    """A bug, and the world in which it shows soon. ``known``: a seed that caught it once; other
    code may make it go another way, then others are tried."""

    name: str
    mutations: Callable[[], Sequence[Mutation]]
    world: Mapping[str, Any] = field(default_factory=dict)
    known: int = 0

    def options(self, seed: int) -> Options:
        drawn = Options.drawn(random.Random(f"{seed} options"), OPERATIONS)
        return replace(drawn, liveness=False, **self.world)

    def run(self, seed: int) -> Report:
        return simulate(seed, self.options(seed), mutations=self.mutations())

    def caught(self, seeds: Iterable[int]) -> Report | None:
        """By the first seed that does it."""
        return next((r for seed in seeds if not (r := self.run(seed)).good), None)


# -- replicas ---------------------------------------------------------------------------------


def _fences_are_skipped() -> list[Mutation]:
    def skipping(guard: Guard, message: LogMessage, now: float) -> None:
        if isinstance(message, Fence):
            guard.position = message.position
            guard.log.append(message)
        else:
            reflect(guard, message, now)

    return [(cluster.coherence.replica, "reflect", skipping)]


def _read_leases_count_from_receipt() -> list[Mutation]:
    right = Replica._leased

    def leased(self: Replica, reply: LeaseReply, now: float) -> Any:
        if reply.id in self._asked:
            self._asked[reply.id] = now
        return right(self, reply, now)

    return [(Replica, "_leased", leased)]


def _gaps_are_ignored() -> list[Mutation]:
    def follows(position: Position, message: LogMessage) -> bool:
        return message.position > position

    return [(cluster.coherence.replica, "follows", follows)]


# -- guard ------------------------------------------------------------------------------------


def _late_fills_are_kept() -> list[Mutation]:
    def end_fill(self: Guard, fill: Fill, now: float) -> bool:
        self.abandon(fill)
        return True

    return [(Guard, "end_fill", end_fill)]


def _quarantine_is_forgotten() -> list[Mutation]:
    def make_unknown(self: Guard, scope: Any, now: float) -> None:
        self._quarantine(scope, Outcome.SUCCESS, now)

    return [(Guard, "_make_unknown", make_unknown)]


def _hits_need_no_lease() -> list[Mutation]:
    def cached(self: ReadPath, key: Key) -> Found | None:
        entry = self._caches.items.lookup(key[0], key[1], self._clock())
        return None if entry is None else Found(entry.item)

    return [(ReadPath, "cached", cached)]


# -- primary ----------------------------------------------------------------------------------


def _writes_do_not_wait_for_acknowledgements() -> list[Mutation]:
    def held(self: Followers, sequence: int, now: float) -> int:
        return sequence

    return [(Followers, "held", held)]


def _writes_go_out_in_any_epoch() -> list[Mutation]:
    def may_send(self: Primary, fence: Position, now: float) -> bool:
        return True

    def orphaned(self: Primary, fence: Position, now: float) -> bool:
        return False

    return [(Primary, "may_send", may_send), (Primary, "orphaned", orphaned)]


# -- lease ------------------------------------------------------------------------------------


def _replayed_grants_make_holders() -> list[Mutation]:
    right = LeaseKeeper.applied

    def applied(
        self: LeaseKeeper, command: Any, result: Any, record: Any, replayed: bool, now: float
    ) -> Any:
        actions = right(self, command, result, record, replayed, now)
        if isinstance(command, Grant) and result.ok and replayed and command.holder == self._me:
            return self._believe(now + command.duration_s, now, now)
        return actions

    return [(LeaseKeeper, "applied", applied)]


# -- backend ----------------------------------------------------------------------------------


def _a_rejection_makes_up_for_silence() -> list[Mutation]:
    right = _Round.refused

    def refused(self: _Round, end: Refusal) -> bool:
        if end.verdict.unchanged:
            self._unanswered = self.ambiguous = False
        return right(self, end)

    return [(_Round, "refused", refused)]


CALM = Upstream(lagging=0.5, lag_s=2.0)
SLOW = LinkWeather(delay_s=0.005, slow=0.1, slow_s=0.3)

PLANTS: tuple[Plant, ...] = (
    Plant(
        "a replica skips fences",
        _fences_are_skipped,
        {"nodes": 3, "mix": READ_MOSTLY, "troubles": {}, "links": SLOW, "upstream": CALM},
    ),
    Plant(
        "read leases count from the receipt of their reply",
        _read_leases_count_from_receipt,
        {
            "nodes": 3,
            "mix": READ_MOSTLY,
            "troubles": {"one way": 3, "isolate": 3},
            "trouble_every_s": 1.5,
            "links": LinkWeather(delay_s=0.01, slow=0.2, slow_s=0.6, keepalive_s=5.0),
            "upstream": Upstream(),
            "lease": Lease(read_s=0.8, quarantine_s=1.0),
            "clock_drift": 0.0,
            "clients": 16,
            "think_s": 0.02,
            "hash_keys": 2,
            "partitions": 1,
            "ranges": 2,
            "cache_bytes": 0,
            "record_ttl_s": 300.0,
            "deadline_s": (5.0,),
        },
        3,
    ),
    Plant(
        "gaps in the stream are ignored",
        _gaps_are_ignored,
        {
            "nodes": 3,
            "mix": READ_MOSTLY,
            "troubles": {},
            "links": LinkWeather(dropped=0.1),
            "upstream": CALM,
        },
    ),
    Plant(
        "late fills are kept",
        _late_fills_are_kept,
        {"mix": READ_MOSTLY, "troubles": {}, "hash_keys": 2},
        3,
    ),
    Plant(
        "quarantine is forgotten",
        _quarantine_is_forgotten,
        {
            "mix": READ_MOSTLY,
            "troubles": {},
            "upstream": Upstream(late=0.3, late_s=2.0, lagging=0.5, lag_s=2.0),
            "hash_keys": 3,
            "read_timeout_s": 0.5,
        },
    ),
    Plant(
        "hits need no lease",
        _hits_need_no_lease,
        {
            "nodes": 3,
            "mix": READ_MOSTLY,
            "troubles": {"isolate": 3, "one way": 3},
            "trouble_every_s": 1.0,
            "upstream": CALM,
        },
        3,
    ),
    Plant(
        "writes go out before their fences are acknowledged",
        _writes_do_not_wait_for_acknowledgements,
        {"nodes": 3, "mix": READ_MOSTLY, "troubles": {}, "links": SLOW, "upstream": CALM},
    ),
    Plant(
        "writes go out in later epochs than their fences",
        _writes_go_out_in_any_epoch,
        {
            "nodes": 3,
            "mix": READ_MOSTLY,
            "troubles": {"long pause": 1},
            "trouble_every_s": 2.0,
            "upstream": Upstream(slow_connect=0.5),
            "lease": Lease(read_s=0.6, quarantine_s=1.0),
            "deadline_s": (10.0,),
            "patience_s": 12.0,
            "clients": 16,
            "hash_keys": 2,
        },
        4,
    ),
    Plant(
        "replayed grants make holders",
        _replayed_grants_make_holders,
        {"nodes": 3, "troubles": {"crash": 1}, "trouble_every_s": 0.7},
    ),
    Plant(
        "a rejection makes up for an attempt without an answer",
        _a_rejection_makes_up_for_silence,
        {
            "mix": {"get": 20.0, "transact write": 60.0},
            "troubles": {},
            "upstream": Upstream(late=0.3, late_s=2.0, throttled=0.3),
            "read_timeout_s": 0.5,
            "deadline_s": (2.0,),
        },
    ),
)


def table(plants: Iterable[Plant], seeds: Sequence[int], *, known: bool = True) -> list[str]:
    """Prints one line for each, and gives the names of those that nothing caught. ``known``: the
    seed that did it before is tried first."""
    print(f"{'bug':<55} {'seed':>10} {'operations':>10}  what was seen")
    missed = []
    work = [(PLANTS.index(plant), (*([plant.known] if known else []), *seeds)) for plant in plants]
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(JOBS) as pool:
        for (index, _), report in zip(work, pool.imap(_caught, work), strict=True):
            name = PLANTS[index].name
            if report is None:
                missed.append(name)
                print(f"{name:<55} {'none':>10}")
            else:
                seen = (report.violation or "").partition(": ")[2].replace("\n", " ")[:90]
                print(f"{name:<55} {report.seed:>10} {report.operations:>10}  {seen}")
            sys.stdout.flush()
    return missed


def _caught(work: tuple[int, Sequence[int]]) -> Report | None:
    index, seeds = work
    return PLANTS[index].caught(seeds)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names; none: all")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="how many may be tried")
    parser.add_argument("--fresh", action="store_true", help="seeds that were never tried before")
    options = parser.parse_args(argv)
    names: list[str] = options.names
    chosen = [p for p in PLANTS if not names or any(name in p.name for name in names)]
    first = secrets.randbelow(1 << 31) if options.fresh else 0
    seeds = range(first, first + options.seeds)
    return 1 if table(chosen, seeds, known=not options.fresh) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

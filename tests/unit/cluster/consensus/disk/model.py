"""What a disk is to hold after writes, and writes as Raft makes them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from cluster.consensus.core.configuration import Configuration
from cluster.consensus.core.messages import (
    Append,
    Durable,
    Entry,
    HardState,
    Kind,
    Rewrite,
    Snapshot,
    Write,
)
from cluster.consensus.core.messages import founded as founded_by

NAME = "d0"
BEGIN = founded_by([NAME, "d1", "d2"])


def written(durable: Durable, writes: Sequence[Write]) -> Durable:
    *_, last = (durable, *steps(durable, writes))
    return last


def steps(durable: Durable, writes: Sequence[Write]) -> Iterator[Durable]:
    """What may be there when the writes are interrupted, but for ``durable`` itself."""
    for write in writes:
        match write:
            case HardState():
                durable = replace(durable, hard=write)
                yield durable
            case Append(entries):
                for entry in entries:
                    kept = entry.index - durable.snapshot.index - 1
                    durable = replace(durable, entries=(*durable.entries[:kept], entry))
                    yield durable
            case Rewrite(snapshot, entries):
                durable = replace(durable, snapshot=snapshot, entries=entries)
                yield durable


def last(durable: Durable) -> tuple[int, int]:
    """Index and term."""
    if durable.entries:
        return durable.entries[-1].index, durable.entries[-1].term
    return durable.snapshot.index, durable.snapshot.term


def some_writes(rng: random.Random, durable: Durable) -> list[Write]:
    """A batch, as a driver joins it."""
    writes: list[Write] = []
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        writes.append(_some_write(rng, durable))
        durable = written(durable, writes[-1:])
    return writes


def _some_write(rng: random.Random, durable: Durable) -> Write:
    hard, entries = durable.hard, durable.entries
    choice = rng.random()
    if choice < 0.2:
        vote = rng.choice((None, "d0", "d1", "d2" * rng.randrange(20)))
        return HardState(hard.term + rng.randint(0, 2), vote, rng.random() < 0.1)
    if choice < 0.3:
        return _compaction(rng, durable) if entries else _restart(rng, durable)
    if choice < 0.35:
        return _restart(rng, durable)
    index, term = last(durable)
    if choice < 0.5 and entries:
        cut = rng.randrange(len(entries))
        index, term = last(replace(durable, entries=entries[:cut]))
    return Append(tuple(some_entries(rng, index, term, hard.term, rng.randint(1, 4))))


def some_entries(
    rng: random.Random, index: int, term: int, term_max: int, count: int
) -> Iterator[Entry]:
    for _ in range(count):
        index, term = index + 1, rng.randint(term, term_max)
        if rng.random() < 0.1:
            configuration = Configuration(("d0", "d1"), ("d2",))
            yield Entry(index, term, Kind.CONFIGURATION, configuration.encode())
        else:
            kind = rng.choice((Kind.NOOP, Kind.COMMAND))
            yield Entry(index, term, kind, rng.randbytes(rng.choice((0, 1, 7, 30, 100))))


def _compaction(rng: random.Random, durable: Durable) -> Rewrite:
    at = rng.randrange(len(durable.entries))
    entry = durable.entries[at]
    snapshot = Snapshot(entry.index, entry.term, BEGIN.snapshot.configuration, _some_state(rng))
    return Rewrite(snapshot, durable.entries[at + 1 :])


def _restart(rng: random.Random, durable: Durable) -> Rewrite:
    index = last(durable)[0] + rng.randint(1, 9)
    configuration = BEGIN.snapshot.configuration
    return Rewrite(Snapshot(index, durable.hard.term, configuration, _some_state(rng)))


def _some_state(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 39, 40, 41, 130)))

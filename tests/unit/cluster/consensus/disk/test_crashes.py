"""Processes that are killed, power that fails, disks that are full: at any step of any write.

What was confirmed is there. What was not is there as its beginning, or not at all. No healthy disk
is ever refused or sent to mend.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from itertools import product

import pytest

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
from cluster.consensus.disk.errors import DiskFailed, DiskFull
from cluster.consensus.disk.opening import Opened, open_disk
from paceline.errors import ConfigError
from tests.simulation.planting import lowered
from tests.support.memory_directory import MemoryDirectory, PowerCut, broken
from tests.unit.cluster.consensus.disk.model import (
    BEGIN,
    NAME,
    some_writes,
    steps,
)

BATCHES_MAX = 60
"""Of one process, if nothing ends it."""

LIMITS = {"cluster.consensus.disk.records:PIECE_BYTES": 40}
"""So that a snapshot has several pieces."""


class Life:
    """Of one disk, through many processes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.directory = MemoryDirectory()
        self.possible: list[Durable] = [BEGIN]
        """What may be found."""
        self.boot = 0

    def live(self, processes: int) -> Counter[str]:
        for _ in range(processes):
            self._arm()
            try:
                self._process()
            except PowerCut:
                self.seen["cut"] += 1
            self.directory.step = lambda operation, name: None
            if self.rng.random() < 0.6:
                self.directory.lose_power(self.rng)
                self.seen["power lost"] += 1
        self._open()
        return self.seen

    def _arm(self) -> None:
        """After some operations the process ends, or all syncs fail."""
        left = self.rng.choice((self.rng.randrange(12), self.rng.randrange(60)))
        fails = self.rng.random() < 0.15

        def step(operation: str, name: str) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                return
            if not fails:
                raise PowerCut
            if operation == "sync":
                self.seen["sync failed"] += 1
                raise broken()

        self.directory.step = step

    def _open(self) -> Opened:
        opened = open_disk(self.directory, NAME, BEGIN, preallocate_bytes=256)
        assert opened.durable in self.possible
        assert opened.boot > self.boot
        self.seen["opened"] += 1
        self.seen["interrupted"] += len(self.possible) > 1
        self.possible, self.boot = [opened.durable], opened.boot
        return opened

    def _process(self) -> None:
        failed = self.seen["sync failed"]
        try:
            disk = self._open().disk
        except (ConfigError, DiskFailed):
            if self.seen["sync failed"] > failed:
                return
            raise
        for _ in range(BATCHES_MAX):
            before = self.possible[-1]
            writes = some_writes(self.rng, before)
            self.possible = [before, *steps(before, writes)]
            short = self.rng.random() < 0.1
            space, self.directory.space = self.directory.space, self.rng.randrange(400)
            if not short:
                self.directory.space = space
            try:
                disk.write(writes)
            except DiskFull:
                assert short
                self.seen["full"] += 1
                self.possible = [before]
            except DiskFailed:
                self.seen["failed"] += 1
                with pytest.raises(DiskFailed):
                    disk.write([])
                return
            else:
                self.possible = self.possible[-1:]
                self.seen["written"] += 1
            finally:
                self.directory.space = 1 << 40


def live(seed: int, processes: int = 30) -> Counter[str]:
    life = Life(seed)
    try:
        with lowered(LIMITS):
            return life.live(processes)
    except Exception as error:
        error.add_note(f"PACELINE_SEED={seed}")
        raise


def seeds(count: int) -> range:
    first = int(os.environ.get("PACELINE_SEED", random.randrange(10**9)))
    print(f"PACELINE_SEED={first}")
    return range(first, first + count)


def interrupt_twice(writes: list[Write], first_ends: BaseException) -> None:
    """Two processes end early, at each of their operations, and then the power fails at the worst:
    two thirds of each write that was not synced have reached the disk."""
    begin = MemoryDirectory()
    open_disk(begin, NAME, BEGIN, preallocate_bytes=64).disk.close()
    for first, second in product(range(20), repeat=2):
        directory = begin.copy()
        for left, ends in ((first, first_ends), (second, PowerCut())):
            _interrupt(directory, writes, left, ends)
        for inode in directory.inodes.values():
            inode.fail_to_sync()
            inode.data = bytearray(inode.durable)
        found = open_disk(directory, NAME, None, preallocate_bytes=64).durable
        assert found in [BEGIN, *steps(BEGIN, writes)]


def _interrupt(
    directory: MemoryDirectory, writes: list[Write], left: int, ends: BaseException
) -> None:
    def step(operation: str, name: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ends

    directory.step = step
    try:
        open_disk(directory, NAME, None, preallocate_bytes=64).disk.write(writes)
    except (PowerCut, ConfigError, DiskFailed):
        pass
    directory.step = lambda operation, name: None


INTERRUPTED: dict[str, list[Write]] = {
    "a vote": [HardState(1, "d1")],
    "entries": [Append((Entry(1, 0, Kind.NOOP, b"x" * 50), Entry(2, 0, Kind.NOOP)))],
    "a rewrite": [Rewrite(Snapshot(3, 0, BEGIN.snapshot.configuration, b"x" * 50))],
}


@pytest.mark.parametrize("first_ends", [PowerCut(), broken()], ids=["killed", "sync failed"])
@pytest.mark.parametrize("writes", INTERRUPTED.values(), ids=list(INTERRUPTED))
def test_interrupted_twice(writes: list[Write], first_ends: BaseException) -> None:
    interrupt_twice(writes, first_ends)


def test_fresh_seeds() -> None:
    seen = sum((live(seed) for seed in seeds(30)), start=live(1))
    print(seen)
    for what in ("written", "interrupted", "full", "failed", "power lost"):
        assert seen[what] > 10, seen


@pytest.mark.full(minutes=2)
def test_many_fresh_seeds() -> None:
    for seed in seeds(1_000):
        live(seed)


def test_a_full_disk_leaves_everything_as_it_was() -> None:
    """Wherever in a batch there is no space any more, and if there was none to begin with."""
    rng = random.Random(7)
    for _ in range(150):
        directory = MemoryDirectory()
        disk = open_disk(directory, NAME, BEGIN, preallocate_bytes=64).disk
        durable = BEGIN
        for _ in range(4):
            writes = some_writes(rng, durable)
            *_, durable = steps(durable, writes)
            disk.write(writes)
        writes = some_writes(rng, durable)
        *_, after = steps(durable, writes)
        directory.space = rng.randrange(0, 300)
        try:
            disk.write(writes)
        except DiskFull:
            assert open_disk(directory.copy(), NAME, None).durable == durable
            lost = directory.copy()
            lost.lose_power(rng)
            assert open_disk(lost, NAME, None).durable == durable
            directory.space = 1 << 20
            disk.write(writes)
        assert open_disk(directory.copy(), NAME, None).durable == after

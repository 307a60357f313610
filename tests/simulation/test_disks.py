"""Worlds in which disks fail have what they are for."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest

from cluster.consensus.core.messages import Append, Entry, HardState, Kind, founded
from paceline.errors import ConfigError
from tests.simulation.disk_troubles import is_expected
from tests.simulation.options import DISK_TROUBLES, Options
from tests.simulation.raft_disk import RaftDisk
from tests.simulation.simulation import simulate
from tests.simulation.worlds import WORLDS

BEGIN = founded(["d0", "d1", "d2"])
ENTRY = Entry(1, 1, Kind.COMMAND, bytes(range(200)))

DROPPED = "said: dropped the end of the log, from a write that was never confirmed"

SEEN = {
    "disks fail": (
        "ended by its disk",
        "disks refused",
        "said: there is space for the log again",
        "said: the disk has lost the end of the log, which was durable; this node does not vote"
        " until a leader has given it back",
    ),
    "all power fails while disks are slow": (DROPPED,),
}
"""By world. A write that is torn needs a loss of power in the middle of it: in the world where all
disks fail in all ways one seed in 60 has one, so it is looked for where nothing else happens."""

EVERY_S = {"disks fail": 0.3, "all power fails while disks are slow": 0.2}


@pytest.mark.parametrize("world", SEEN)
def test_every_fault_happens_and_every_promise_is_kept(world: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(60):
        options = Options.in_world(WORLDS[world], seed, operations=300)
        options = replace(options, trouble_every_s=EVERY_S[world])
        report = simulate(seed, options)
        assert report.good, f"{seed}: {report.violation}"
        seen += report.counts
        if all(seen[what] for what in SEEN[world]):
            return
    raise AssertionError(f"never seen: {[what for what in SEEN[world] if not seen[what]]}")


def test_part_of_the_seeds_have_bad_disks_and_calm_ones_have_not() -> None:
    drawn = [Options.drawn(random.Random(seed)) for seed in range(200)]
    bad = [options for options in drawn if options.disks_fail]
    assert 20 < len(bad) < 100
    assert {name for one in bad for name in one.troubles} >= DISK_TROUBLES.keys()


async def opened(disk: RaftDisk, *writes: HardState | Append) -> None:
    await disk.open(BEGIN)
    for write in writes:
        await disk.write([write])


async def killed_in(disk: RaftDisk, write: Append) -> None:
    """The process ends while it waits for the disk."""
    task = asyncio.create_task(disk.write([write]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def test_a_write_that_was_interrupted_leaves_any_part_of_itself() -> None:
    left: Counter[int] = Counter()
    for seed in range(60):
        disk = RaftDisk("d0", random.Random(seed), power_loss=0.5)
        await opened(disk, HardState(1))
        await killed_in(disk, Append((ENTRY,)))
        _, durable = await disk.open(BEGIN)
        assert durable.hard == HardState(1)
        assert not disk.doubtful
        left[len(durable.entries)] += 1
    assert left[0] > 5
    assert left[1] > 5


async def test_what_was_confirmed_survives_any_loss_of_power() -> None:
    for seed in range(60):
        disk = RaftDisk("d0", random.Random(seed), power_loss=1.0)
        await opened(disk, HardState(1), Append((ENTRY,)))
        _, durable = await disk.open(BEGIN)
        assert (durable.hard, durable.entries) == (HardState(1), (ENTRY,))


async def test_a_tail_that_is_lost_is_mended_or_refused() -> None:
    results: Counter[str] = Counter()
    for seed in range(60):
        disk = RaftDisk("d0", random.Random(seed))
        await opened(disk, HardState(1), *(Append((replace(ENTRY, index=n),)) for n in range(1, 9)))
        disk.lose_tail(random.Random(seed))
        try:
            _, durable = await disk.open(BEGIN)
        except ConfigError:
            assert disk.refused
            results["refused"] += 1
        else:
            assert durable.hard.mending
            assert len(durable.entries) < 8
            assert disk.doubtful
            await disk.write([HardState(1)])
            assert not disk.doubtful
            results["mending"] += 1
    assert results["mending"] > 5
    assert results["refused"] > 0


@pytest.mark.parametrize(
    ("disks_fail", "event", "reason", "expected"),
    [
        (True, "log failed", "the log cannot be written: EIO", True),
        (False, "log failed", "the log cannot be written: EIO", False),
        (True, "log failed", "the log is broken: another entry", False),
        (True, "stopping after a failure", "roster ended", False),
        (True, "another error", "the log cannot be written: EIO", False),
    ],
)
def test_only_what_disks_do_is_expected(
    disks_fail: bool, event: str, reason: str, expected: bool
) -> None:
    assert is_expected(disks_fail, event, {"reason": reason}) is expected

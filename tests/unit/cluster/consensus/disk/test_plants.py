"""Each step that makes something durable, left out: an interruption or some life shows it."""

from __future__ import annotations

import pytest
import structlog

from tests.simulation.planting import Change, changed
from tests.support.memory_directory import PowerCut, broken
from tests.unit.cluster.consensus.disk.test_crashes import (
    INTERRUPTED,
    interrupt_twice,
    live,
)

DISK = "cluster.consensus.disk"
CARRY_OUT = f"{DISK}.disk:Disk._carry_out"
SWITCH = f"{DISK}.disk:Disk._switch"
OPEN = f"{DISK}.opening:_Opening.open"
OPEN_WHOLE = f"{DISK}.opening:_Opening._open_whole"
STORE = f"{DISK}.state_file:StateFile.store"
SETTLED = f"{DISK}.state_file:StateFile.settled"

PLANTS = {
    "entries are not synced": Change(CARRY_OUT, "self._log.sync()", "pass"),
    "a mark comes before the sync": Change(
        CARRY_OUT, "self._log.sync()\n", "self._note(step.mark)\n                self._log.sync()\n"
    ),
    "a new log is not synced": Change(SWITCH, "file.sync()", "pass"),
    "the name of a new log is not synced": Change(SWITCH, "self._directory.sync()", "pass"),
    "a name that was given before is not synced": Change(OPEN, "directory.sync()", "pass"),
    "a new log is of the old generation": Change(
        f"{DISK}.plan:rewrite", "place.mark.generation + 1", "max(place.mark.generation, 1)"
    ),
    "what was found is not synced": Change(OPEN_WHOLE, "log.sync()", "pass"),
    "what was found is not written anew": Change(
        OPEN_WHOLE, "range(found.synced, found.end,", "range(found.end, found.end,"
    ),
    "term and vote are not synced": Change(STORE, "self._file.sync()", "pass"),
    "term and vote are kept once": Change(STORE, "in self._order:", "in self._order[:1]:"),
    "a copy that was found is not synced": Change(SETTLED, "file.sync()", "pass"),
    "a copy that was found is not written anew": Change(
        SETTLED, "file.write(SLOTS_AT[found.order[1]], encode_slot(found.slot))", "pass"
    ),
    "what a full disk broke off stays": Change(
        f"{DISK}.disk:Disk._undo", "self._log.truncate(self._place.mark.offset)", "pass"
    ),
    "entries are dropped only where all is damaged": Change(
        f"{DISK}.reading:_rest", "synced = max(synced, prefix.synced)", "synced = max(synced, at)"
    ),
}

SEEDS = 200

FOUND_BY = {
    "a name that was given before is not synced": 44,
    "a copy that was found is not written anew": 12,
}
"""Lives that are tried first, since those before them show nothing."""


def found_missing(first: int) -> bool:
    try:
        live(first)
        for seed in range(20):
            live(seed)
        for writes in INTERRUPTED.values():
            interrupt_twice(writes, PowerCut())
            interrupt_twice(writes, broken())
        for seed in range(20, SEEDS):
            live(seed)
    except Exception:
        return True
    return False


@pytest.mark.parametrize("name", PLANTS)
def test_a_rule_left_out_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
    monkeypatch.setattr("cluster.consensus.disk.opening._log", quiet)
    with changed([PLANTS[name]]):
        assert found_missing(FOUND_BY.get(name, 0))

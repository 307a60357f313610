"""What a batch of writes comes to, in bytes and places. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cluster.consensus.core.log import InvariantBroken
from cluster.consensus.core.messages import Append, Entry, HardState, Rewrite, Write
from cluster.consensus.disk.order import Order
from cluster.consensus.disk.records import (
    HEADER_BYTES,
    RECORD_BYTES,
    Header,
    encode_entry,
    encode_header,
    encode_record,
    encode_snapshot,
)
from cluster.consensus.disk.slots import Mark, State, encode_slot


@dataclass(frozen=True)
class Place:
    """Where the next record goes, and what it follows. ``mark.offset`` is the end of the log."""

    mark: Mark
    order: Order
    hard: HardState


@dataclass(frozen=True)
class ToLog:
    """``data`` goes behind the end of the log; ``mark`` is true once it is synced."""

    offset: int
    data: bytes
    mark: Mark


@dataclass(frozen=True)
class ToNewLog:
    """A new file takes the place of the log."""

    parts: Sequence[bytes]
    mark: Mark


@dataclass(frozen=True)
class ToState:
    hard: HardState


Step = ToLog | ToNewLog | ToState


def plan(place: Place, writes: Iterable[Write]) -> tuple[list[Step], Place]:
    """The steps are to be made durable one after the other. ``InvariantBroken`` for what no
    opening would accept; ValueError for what is too large."""
    place = replace(place, order=place.order.copy())
    steps: list[Step] = []
    entries: list[Entry] = []

    def flush() -> None:
        nonlocal place
        if entries:
            step, place = _to_log(place, entries)
            steps.append(step)
            entries.clear()

    for write in writes:
        match write:
            case Append():
                entries.extend(write.entries)
            case Rewrite():
                flush()
                to_new, place = rewrite(place, write)
                steps.append(to_new)
            case HardState():
                flush()
                encode_slot(State(0, 0, write, place.mark))
                if steps and isinstance(steps[-1], ToState):
                    steps.pop()
                steps.append(ToState(write))
                place = replace(place, hard=write)
    flush()
    return steps, place


def rewrite(place: Place, write: Rewrite) -> tuple[ToNewLog, Place]:
    snapshot = write.snapshot
    order = Order(snapshot.index, snapshot.term)
    _check_term(snapshot.term, place.hard)
    payloads = list(encode_snapshot(snapshot))
    payloads += [_put(order, entry, place.hard) for entry in write.entries]
    generation = place.mark.generation + 1
    end = HEADER_BYTES
    parts = [b""]
    for payload in payloads:
        parts.append(encode_record(payload, generation, end, HEADER_BYTES))
        end += RECORD_BYTES + len(payload)
    parts[0] = encode_header(Header(generation, end))
    mark = Mark(generation, order.last, end)
    return ToNewLog(parts, mark), Place(mark, order, place.hard)


def _to_log(place: Place, entries: Sequence[Entry]) -> tuple[ToLog, Place]:
    mark, order = place.mark, place.order
    parts = []
    end = mark.offset
    for entry in entries:
        payload = _put(order, entry, place.hard)
        parts.append(encode_record(payload, mark.generation, end, mark.offset))
        end += len(parts[-1])
    after = Mark(mark.generation, order.last, end)
    return ToLog(mark.offset, b"".join(parts), after), replace(place, mark=after)


def _put(order: Order, entry: Entry, hard: HardState) -> bytes:
    """The payload of its record."""
    _check_term(entry.term, hard)
    replaces = entry.index <= order.last
    try:
        order.put(entry.index, entry.term, replaces)
    except ValueError as error:
        raise InvariantBroken(f"the disk was given what no log has: {error}") from error
    return encode_entry(entry, replaces)


def _check_term(term: int, hard: HardState) -> None:
    if term > hard.term:
        raise InvariantBroken(f"an entry of term {term}, but the disk's term is {hard.term}")

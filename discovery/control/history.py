"""What has happened: describe-events. Pure."""

from __future__ import annotations

from typing import Any, Final

from discovery.control.faults import combination, invalid
from discovery.control.paging import page
from discovery.control.records import Event, events_of
from discovery.control.world import Asked, Done, World, told

DAY_MIN: Final = 24 * 60
KEPT_MIN: Final = 14 * DAY_MIN
"""As by DAX: who does not say is told of a day, and nobody of more than fourteen."""


def describe_events(world: World, asked: Asked) -> Done:
    if "SourceName" in asked and "SourceType" not in asked:
        raise combination("The parameter SourceName needs SourceType.")
    if "Duration" in asked and "StartTime" in asked and "EndTime" in asked:
        raise combination("Give a StartTime and an EndTime, or one of them and a Duration.")
    minutes = asked.get("Duration", DAY_MIN)
    if not 1 <= minutes <= KEPT_MIN:
        raise invalid(f"The parameter Duration is a number of minutes from 1 to {KEPT_MIN}.")
    start, end = _span(world, asked, minutes)
    if start > end:
        raise combination("StartTime is later than EndTime.")
    kind, source = asked.get("SourceType"), asked.get("SourceName")
    entries = [
        (key, _shown(event))
        for key, event in _keyed(events_of(world.stored.events))
        if start <= event.at <= end
        and kind in (None, event.kind)
        and (source is None or source.lower() == event.source.lower())
    ]
    return told(page(asked, "DescribeEvents", entries, "Events"))


def _span(world: World, asked: Asked, minutes: int) -> tuple[float, float]:
    """From when until when, in seconds since the epoch."""
    start, end = asked.get("StartTime"), asked.get("EndTime")
    if start is not None:
        later = start + 60 * minutes if "Duration" in asked else world.now
        return start, end if end is not None else max(start, later)
    end = world.now if end is None else end
    return end - 60 * minutes, end


def _keyed(events: list[Event]) -> list[tuple[str, Event]]:
    """In order of time, each with a key in the same order. Those that are dropped while somebody
    turns pages were told, so keys have no place in the list but the event's time and those of its
    moment."""
    keyed = []
    at, same = -1.0, 0
    for event in sorted(events, key=lambda one: one.at):
        same = same + 1 if event.at == at else 0
        at = event.at
        keyed.append((f"{at:017.3f}.{same:04}", event))
    return keyed


def _shown(event: Event) -> dict[str, Any]:
    return {
        "SourceName": event.source,
        "SourceType": event.kind,
        "Message": event.message,
        "Date": event.at,
    }

"""What an operation decides by, and what it comes to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cluster.log.control_records import ControlRecords
from cluster.log.view import ClusterView
from cluster.roster.endpoints import Health
from discovery.control.names import Place
from discovery.control.records import Acting, ActKind, Event, Records

ACTING_S: Final = 900.0
"""Longer than a launcher takes for as many nodes as there may be."""

Asked = Mapping[str, Any]
"""An operation's parameters by their names: texts, integers, booleans, seconds since the epoch,
lists and maps of these. What was null is not there."""

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Front:
    """Where clients ask this discovery for nodes. ``listener``: its name, which nodes' have, too.
    ``only_tls``: there is no way without."""

    host: str
    port: int
    listener: str
    tls: bool
    only_tls: bool


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done to a node once the records say so."""

    kind: ActKind
    node: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """``subnet_zones``: id to zone of the subnets that a file names; None: there is no such file.
    ``facts``: of the node that is followed. ``acts``: whether a launcher is there."""

    records: Records
    stored: ControlRecords
    view: ClusterView
    health: Mapping[str, Health]
    place: Place
    front: Front
    facts: Mapping[str, int]
    now: float
    acts: bool = False
    subnet_zones: Mapping[str, str] | None = None

    @property
    def acting(self) -> Mapping[str, Acting]:
        """What is being done to nodes, by their ids. What nobody has ended for long is over: who
        did it is gone."""
        found = self.records.acting
        return {k: one for k, one in found.items() if self.now - one.since < ACTING_S}

    @property
    def zones(self) -> tuple[str, ...]:
        """Those of the nodes, in order."""
        return tuple(sorted({member.zone for member in self.view.members}))

    def event(self, kind: str, source: str, message: str) -> Event:
        return Event(self.now, kind, source, message)

    def happened(self, message: str) -> Event:
        """To the cluster."""
        return self.event("CLUSTER", self.place.cluster, message)

    def with_records(self, records: Records) -> World:
        return replace(self, records=records)


@dataclass(frozen=True, slots=True)
class Done:
    """``records``: as they are to be; None: as they are. ``tell``: the answer, in the world as it
    is then."""

    tell: Callable[[World], Result]
    records: Records | None = None
    events: tuple[Event, ...] = field(default=())
    acts: tuple[Act, ...] = ()


Operate = Callable[[World, Asked], Done]
"""Denied: it is refused, and nothing is changed."""


def told(result: Result) -> Done:
    """An answer that changes nothing."""
    return Done(lambda _: result)

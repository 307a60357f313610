"""What an operation decides by, and what it comes to. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from cluster.log.control_records import ControlRecords
from cluster.log.view import ClusterView
from cluster.roster.endpoints import Health
from discovery.control.names import Place
from discovery.control.records import Acting, ActKind, Event, Further, Records, Site

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
    cluster: str = ""
    """Of a further cluster's node."""


@dataclass(frozen=True, slots=True)
class ClusterAct:
    """What is to be done to a further cluster: ``start`` it, with these nodes and their zones, or
    ``end`` it for good."""

    kind: Literal["start", "end"]
    cluster: str
    id: str
    nodes: tuple[tuple[str, str], ...] = ()
    cache_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """A further cluster as this discovery sees it. ``in_sync``: its log has the parameter group
    that it is to have."""

    view: ClusterView
    health: Mapping[str, Health]
    facts: Mapping[str, int]
    in_sync: bool


UNSEEN: Final = Seen(ClusterView("", ()), {}, {}, in_sync=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """A further cluster that the launcher tells of. ``site``: None until it is started."""

    id: str
    site: Site | None


@dataclass(frozen=True, slots=True)
class World:
    """``subnet_zones``: id to zone of the subnets that a file names; None: there is no such file.
    ``facts``: of the node that is followed. ``acts``: whether a launcher is there.

    It is the home cluster's, unless ``beside`` says of which further cluster; that one's nodes may
    be in ``zones_given``. ``seen``: further clusters by their names; ``listed``: those that the
    launcher runs, None if it has not told."""

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
    beside: Further | None = None
    zones_given: tuple[str, ...] = ()
    in_sync: bool = True
    seen: Mapping[str, Seen] = field(default_factory=dict)
    listed: Mapping[str, Listed] | None = None

    @property
    def acting(self) -> Mapping[str, Acting]:
        """What is being done to nodes, by their ids. What nobody has ended for long is over: who
        did it is gone."""
        found = self.records.acting
        return {k: one for k, one in found.items() if self.now - one.since < ACTING_S}

    @property
    def zones(self) -> tuple[str, ...]:
        """Those that nodes may be in, in order: those that have nodes, of the home cluster."""
        return self.zones_given or tuple(sorted({member.zone for member in self.view.members}))

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
    acts: tuple[Act | ClusterAct, ...] = ()


Operate = Callable[[World, Asked], Done]
"""Denied: it is refused, and nothing is changed."""


def told(result: Result) -> Done:
    """An answer that changes nothing."""
    return Done(lambda _: result)

"""What the control plane keeps in the replicated log, and its bytes: JSON. Pure.

    cluster                {"parameter_group": "short", "tags": {"team": "blue"}, ...}
    parameter-group/short  {"description": "", "values": {"record-ttl-millis": "60000"}}
    subnet-group/main      {"description": "", "subnets": [["subnet-1", "a"], ...]}
    acting                 {"node-2": ["restart", 1700000000.0, ""]}
    further/second         {"id": "...", "state": "running", "cluster": {...}, "acting": {...}, ...}
    stack/web              {"Cache": "...", ...}
    observed               {"epoch": 3, "primary": "node-1", "nodes": {"node-1": [...]}}

An event is {"at": 1700000000.0, "type": "CLUSTER", "source": "paceline", "message": "..."}. What
nodes read of this is said in ``cluster/log/lifetimes.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from cluster.log.lifetimes import CLUSTER, PARAMETER_GROUP

SUBNET_GROUP: Final = "subnet-group/"
OBSERVED: Final = "observed"
ACTING: Final = "acting"
DEFAULT_PARAMETERS: Final = "default.dax1.0"
DEFAULT_SUBNETS: Final = "default"
FURTHER: Final = "further/"
STACK: Final = "stack/"
ActKind = Literal["restart", "add", "remove"]
FurtherState = Literal["creating", "running", "failed", "deleting"]

MESSAGE_CHARACTERS_MAX: Final = 150
"""Of an event: so it is never too large, whatever its characters."""


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What was set of the cluster. ``topic_status``: active or inactive."""

    description: str = ""
    parameter_group: str = DEFAULT_PARAMETERS
    maintenance_window: str = "sun:05:00-sun:06:00"
    topic: str = ""
    topic_status: str = ""
    security_groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """``values``: what was set in it, by the parameter's name."""

    description: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubnetGroup:
    """``subnets``: each one's id and its zone."""

    description: str = ""
    subnets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SeenNode:
    """``since``: when it was first seen, in seconds since the epoch; ``incarnation``: of its
    process."""

    since: float
    incarnation: str


@dataclass(frozen=True, slots=True)
class Observed:
    """The cluster as it was when somebody last looked. ``epoch`` 0: nobody has."""

    epoch: int = 0
    primary: str = ""
    nodes: Mapping[str, SeenNode] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acting:
    """What is being done to a node, since when in seconds since the epoch; ``zone``: of one that is
    added."""

    kind: ActKind
    since: float
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """``at``: seconds since the epoch. ``kind``: CLUSTER, PARAMETER_GROUP or SUBNET_GROUP."""

    at: float
    kind: str
    source: str
    message: str

    def to_bytes(self) -> bytes:
        return _bytes(
            {
                "at": round(self.at, 3),
                "type": self.kind,
                "source": self.source,
                "message": self.message[:MESSAGE_CHARACTERS_MAX],
            }
        )


@dataclass(frozen=True, slots=True)
class Site:
    """Where the discovery of a further cluster is; ``tls_port`` 0: nowhere with TLS. ``seeds``:
    members' addresses of its nodes."""

    host: str
    port: int
    tls_port: int = 0
    seeds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Further:
    """A cluster beside the home one, whose log has this. ``id``: of its life; ``since``: when it
    got into its state, or somebody last began to act on it; ``nodes``: each one's zone, as they
    were last seen or are to be; ``site``: None until it was started."""

    id: str
    state: FurtherState
    since: float
    node_type: str
    cache_bytes: int
    subnet_group: str
    nodes: Mapping[str, str]
    site: Site | None = None
    cluster: ClusterRecord = field(default_factory=ClusterRecord)
    observed: Observed = field(default_factory=Observed)
    acting: Mapping[str, Acting] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        return _bytes(
            {
                **asdict(self),
                "observed": _observed_fields(self.observed),
                "acting": _acting_fields(self.acting),
            }
        )

    @classmethod
    def of(cls, record: bytes) -> Further:
        """ValueError, TypeError, AttributeError: it cannot be read."""
        told = _read(record)
        site = told.pop("site")
        return cls(
            site=None if site is None else Site(**_tuples(site)),
            cluster=ClusterRecord(**_tuples(told.pop("cluster"))),
            observed=_observed(told.pop("observed")),
            acting={k: Acting(*one) for k, one in told.pop("acting").items()},
            **told,
        )


@dataclass(frozen=True, slots=True)
class Records:
    """All there is. Changed by making another one: ``changes`` says what has to be written."""

    cluster: ClusterRecord = field(default_factory=ClusterRecord)
    parameter_groups: Mapping[str, ParameterGroup] = field(default_factory=dict)
    """Without the default one, which is always there."""
    subnet_groups: Mapping[str, SubnetGroup] = field(default_factory=dict)
    """Without the default one, unless something of it was set."""
    observed: Observed = field(default_factory=Observed)
    acting: Mapping[str, Acting] = field(default_factory=dict)
    further: Mapping[str, Further] = field(default_factory=dict)
    stacks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Each one's resources by their logical ids, as who applied its template has noted them."""

    @classmethod
    def of(cls, by_name: Mapping[str, bytes]) -> Records:
        """ValueError: a record cannot be read; a later release may have written it."""
        groups = sorted(by_name.items())
        told = _read(by_name.get(CLUSTER, b"{}"))
        try:
            return cls(
                ClusterRecord(**_tuples(told)),
                {
                    name.removeprefix(PARAMETER_GROUP): ParameterGroup(**_read(record))
                    for name, record in groups
                    if name.startswith(PARAMETER_GROUP)
                },
                {
                    name.removeprefix(SUBNET_GROUP): SubnetGroup(**_tuples(_read(record)))
                    for name, record in groups
                    if name.startswith(SUBNET_GROUP)
                },
                _observed(_read(by_name.get(OBSERVED, b"{}"))),
                {k: Acting(*one) for k, one in _read(by_name.get(ACTING, b"{}")).items()},
                {
                    name.removeprefix(FURTHER): Further.of(record)
                    for name, record in groups
                    if name.startswith(FURTHER)
                },
                {
                    name.removeprefix(STACK): _read(record)
                    for name, record in groups
                    if name.startswith(STACK)
                },
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"a record of the control plane: {error}") from error

    def by_name(self) -> dict[str, bytes]:
        return {
            ACTING: _bytes(_acting_fields(self.acting)),
            CLUSTER: _bytes(asdict(self.cluster)),
            **{PARAMETER_GROUP + k: _bytes(asdict(v)) for k, v in self.parameter_groups.items()},
            **{SUBNET_GROUP + k: _bytes(asdict(v)) for k, v in self.subnet_groups.items()},
            OBSERVED: _bytes(_observed_fields(self.observed)),
            **{FURTHER + k: v.to_bytes() for k, v in self.further.items()},
            **{STACK + k: _bytes(v) for k, v in self.stacks.items()},
        }


def _observed(seen: Mapping[str, Any]) -> Observed:
    nodes = {name: SeenNode(*one) for name, one in seen.get("nodes", {}).items()}
    return Observed(seen.get("epoch", 0), seen.get("primary", ""), nodes)


def _observed_fields(observed: Observed) -> dict[str, Any]:
    nodes = {name: [one.since, one.incarnation] for name, one in observed.nodes.items()}
    return {"epoch": observed.epoch, "primary": observed.primary, "nodes": nodes}


def _acting_fields(acting: Mapping[str, Acting]) -> dict[str, Any]:
    return {name: [one.kind, one.since, one.zone] for name, one in acting.items()}


def changes(before: Records, after: Records) -> dict[str, bytes | None]:
    """What has to be written, by name; None: to be removed."""
    old, new = before.by_name(), after.by_name()
    written: dict[str, bytes | None] = {k: v for k, v in new.items() if old.get(k) != v}
    return {**written, **{name: None for name in old if name not in new}}


def events_of(stored: Iterable[bytes]) -> list[Event]:
    """In the order in which they were stored; what cannot be read is left out."""
    found = []
    for one in stored:
        try:
            told = _read(one)
            found.append(
                Event(float(told["at"]), told["type"], told["source"], str(told["message"]))
            )
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _read(record: bytes) -> dict[str, Any]:
    found = json.loads(record)
    if not isinstance(found, dict):
        raise ValueError("a record of the control plane is an object")
    return found


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Lists of JSON as tuples, two deep."""
    return {
        name: tuple(tuple(x) if isinstance(x, list) else x for x in value)
        if isinstance(value, list)
        else value
        for name, value in fields.items()
    }


def _bytes(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()

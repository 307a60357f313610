"""What a further cluster is to be, as the control plane asks for it, and what this machine has for
it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paceline.errors import ConfigError
from paceline_local.plan import ClusterPlan, NodePlan, is_zone
from paceline_local.ports import (
    LOOPBACK,
    NODES_MAX,
    conflicts_of,
    free_base_port,
    is_own_address,
    make_ports,
)

NAME = re.compile(r"[a-z](-?[a-z0-9])*")
NAME_CHARACTERS_MAX = 20
FURTHER_MAX = 9
"""The most further clusters at once; the control plane has the same bound."""
LAST_HOST = 40
"""Addresses are 127.0.0.2 to this one: more than clusters, since other programs have some."""
NODE_BYTES = 128 * 2**20
"""What a node takes besides its caches, and what discovery takes."""
CACHE_BYTES_MAX = 2**43

_ID = re.compile(r"[0-9a-f]{16}")
_SECRET = re.compile(r"[A-Za-z0-9_=+/-]{43,128}")
_NODE = re.compile(r"node-([1-9][0-9]?)")
_SHOWN_MAX = 64


@dataclass(frozen=True, slots=True)
class FurtherSpec:
    """``id``: of its life; one that is made later under the same name has another. ``nodes``: each
    one's id and zone."""

    name: str
    id: str
    nodes: tuple[tuple[str, str], ...]
    cache_bytes: int
    secret: str


@dataclass(frozen=True, slots=True)
class Place:
    host: str
    base_port: int


def spec_of(asked: Mapping[str, Any]) -> FurtherSpec:
    """Of a line from outside. ConfigError."""
    nodes = asked.get("nodes")
    if not isinstance(nodes, list) or not 1 <= len(nodes) <= NODES_MAX:
        raise ConfigError(f"nodes are a list of 1 to {NODES_MAX} pairs: an id and a zone")
    cache_bytes = asked.get("cache_bytes")
    if type(cache_bytes) is not int or not 1 <= cache_bytes <= CACHE_BYTES_MAX:
        raise ConfigError(f"cache_bytes is a number from 1 to {CACHE_BYTES_MAX}")
    found = tuple(_node(one) for one in nodes)
    if len({node for node, _ in found}) != len(found):
        raise ConfigError("a node is there twice")
    return FurtherSpec(
        name_of(asked),
        _text(asked, "id", _ID),
        found,
        cache_bytes,
        _text(asked, "secret", _SECRET, show=False),
    )


def name_of(asked: Mapping[str, Any]) -> str:
    """ConfigError."""
    name = _text(asked, "cluster", NAME)
    if len(name) > NAME_CHARACTERS_MAX:
        raise ConfigError(f"a cluster's name has at most {NAME_CHARACTERS_MAX} characters")
    return name


def _text(asked: Mapping[str, Any], name: str, form: re.Pattern[str], *, show: bool = True) -> str:
    found = asked.get(name)
    if not isinstance(found, str) or form.fullmatch(found) is None:
        shown = f" {found[:_SHOWN_MAX]!r}" if show and isinstance(found, str) else ""
        raise ConfigError(f"{name}{shown} has not the form {form.pattern}")
    return found


def _node(pair: object) -> tuple[str, str]:
    if not isinstance(pair, list) or not all(isinstance(one, str) for one in pair):
        raise ConfigError("a node is a list of its id and its zone")
    if len(pair) != 2 or not is_zone(pair[1]):
        raise ConfigError("a node is a list of its id and its zone")
    number = _NODE.fullmatch(pair[0])
    if number is None or int(number[1]) > NODES_MAX:
        raise ConfigError(f"nodes are node-1 to node-{NODES_MAX}")
    return pair[0], pair[1]


def plan_of(home: ClusterPlan, spec: FurtherSpec, place: Place) -> ClusterPlan:
    """Beside ``home``, on the same DynamoDB, which is another's to start."""
    ports = make_ports(place.base_port)
    behind = home.dynamodb
    nodes = tuple(
        NodePlan(node, zone, ports.node(int(node.removeprefix("node-"))), place.host)
        for node, zone in spec.nodes
    )
    return replace(
        home,
        ports=ports,
        nodes=nodes,
        dynamodb=replace(behind, kind="url") if behind.kind == "embedded" else behind,
        host=place.host,
        name=spec.name,
        cache_bytes=spec.cache_bytes,
    )


def place_for(home: ClusterPlan, spec: FurtherSpec, taken: Sequence[Place]) -> Place:
    """A loopback address of its own with the home cluster's ports, or, where this machine has one
    address alone, ports of its own. ConfigError: there is none."""
    problem = ""
    for number in range(2, LAST_HOST + 1):
        place = Place(f"127.0.0.{number}", home.ports.base)
        if place in taken:
            continue
        if not is_own_address(place.host):
            return _with_other_ports(home, spec)
        conflicts = conflicts_of(plan_of(home, spec, place).wanted_ports(), place.host)
        if not conflicts:
            return place
        problem = problem or conflicts[0]
    raise ConfigError(
        f"no address from 127.0.0.2 to 127.0.0.{LAST_HOST} has its ports free: {problem}"
    )


def _with_other_ports(home: ClusterPlan, spec: FurtherSpec) -> Place:
    def wanted(base: int) -> list[int]:
        place = Place(LOOPBACK, base)
        return [port for _, port in plan_of(home, spec, place).wanted_ports()]

    return Place(LOOPBACK, free_base_port(wanted))


def check_memory(spec: FurtherSpec, available: int | None) -> None:
    """ConfigError. ``available``: in bytes; None: this system does not tell."""
    needed = len(spec.nodes) * (spec.cache_bytes + NODE_BYTES) + NODE_BYTES
    if available is not None and needed > available:
        raise ConfigError(
            f"{len(spec.nodes)} nodes with {spec.cache_bytes // 2**20} MiB for caches take"
            f" {needed // 2**20} MiB, and {available // 2**20} MiB are available; choose a smaller"
            " node type or fewer nodes"
        )


def available_bytes(table: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that programs can have without swapping; None where the system does not tell."""
    try:
        for line in table.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


def kept_place(file: Path, spec_id: str) -> Place | None:
    """Where a cluster of this id was; None: it was nowhere."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["id"] != spec_id:
            return None
        return Place(str(found["host"]), int(found["base_port"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_place(file: Path, spec_id: str, place: Place) -> None:
    told = {"id": spec_id, "host": place.host, "base_port": place.base_port}
    file.write_text(json.dumps(told) + "\n", encoding="utf-8")

"""Lines for a file of hosts, by which DAX's names lead to clusters here. Pure.

Names are ``CLUSTER.ID.dax-clusters.REGION.amazonaws.com`` and, of nodes,
``CLUSTER-a.ID.nodes.dax-clusters.REGION.amazonaws.com``; older ones have ``clustercfg.dax`` in the
middle. The id is another one for each account: names that a program has are to be given.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from paceline.errors import ConfigError

BEGIN: Final = "# BEGIN paceline hosts"
END: Final = "# END paceline hosts"
NAMES_MAX: Final = 1000

_NAME = re.compile(
    r"(?<![A-Za-z0-9.-])([A-Za-z][A-Za-z0-9-]{0,30})\.[A-Za-z0-9-]{1,32}"
    r"\.(?:(?:nodes\.)?dax-clusters\.[a-z0-9-]{1,32}|(?:clustercfg|nodes)\.dax\.[a-z0-9-]{1,32}(?:\.cache)?)"
    r"\.amazonaws\.com(?:\.cn)?(?![A-Za-z0-9-])"
)
_NODE = re.compile(r"(.+)-[a-z]")


@dataclass(frozen=True, slots=True)
class Reached:
    """A cluster, and the addresses of its discovery and of its nodes, in the nodes' order."""

    name: str
    arn: str
    address: str
    nodes: tuple[str, ...]


def reached_of(told: Mapping[str, Any]) -> Reached | None:
    """As describe-clusters tells it; None: it has no address yet."""
    address = (told.get("ClusterDiscoveryEndpoint") or {}).get("Address")
    if not address:
        return None
    nodes = [(one.get("Endpoint") or {}).get("Address") or address for one in told["Nodes"]]
    return Reached(told["ClusterName"], told["ClusterArn"], address, tuple(nodes))


def names_in(text: str) -> list[str]:
    """All of DAX's names, in order, once each, in small letters. ConfigError: too many."""
    found = dict.fromkeys(one.group(0).lower() for one in _NAME.finditer(text))
    if len(found) > NAMES_MAX:
        raise ConfigError(f"more than {NAMES_MAX} names of clusters")
    return list(found)


def lines_for(clusters: Sequence[Reached], names: Iterable[str], instead: str | None) -> list[str]:
    """``names``: that are to lead here, besides those that DAX would give. ``instead``: the cluster
    that names of others lead to. ConfigError: a name is of no cluster."""
    by_name = {one.name: one for one in clusters}
    if instead is not None and instead not in by_name:
        raise ConfigError(f"there is no cluster {instead}; there are {', '.join(by_name)}")
    lines: dict[str, str] = {}
    for one in clusters:
        middle = hashlib.sha256(one.arn.encode()).hexdigest()[:6]
        domain = f"dax-clusters.{one.arn.split(':')[3]}.amazonaws.com"
        lines[f"{one.name}.{middle}.{domain}"] = one.address
        for letter, address in zip("abcdefghijklmnopqrstuvwxyz", one.nodes, strict=False):
            lines[f"{one.name}-{letter}.{middle}.nodes.{domain}"] = address
    for name in names:
        lines[name] = _address_of(name, by_name, instead)
    return [f"{address}\t{name}" for name, address in lines.items()]


def _address_of(name: str, by_name: Mapping[str, Reached], instead: str | None) -> str:
    label = name.partition(".")[0]
    found = by_name.get(label)
    node = _NODE.fullmatch(label)
    if found is None and node is not None and node[1] in by_name:
        one = by_name[node[1]]
        at = ord(label[-1]) - ord("a")
        return one.nodes[at] if at < len(one.nodes) else one.address
    if found is None and instead is not None:
        found = by_name[instead]
    if found is None:
        raise ConfigError(
            f"{name}: there is no cluster {label}; create it, or say by --to which one is meant:"
            f" {', '.join(by_name)}"
        )
    return found.address


def with_block(text: str, lines: Sequence[str]) -> str:
    """The text of a file of hosts with these lines between marks, in the place of those that were
    there; without marks if there are none. ConfigError: half a mark is there."""
    given = text.splitlines()
    begins = [at for at, line in enumerate(given) if line.strip() == BEGIN]
    ends = [at for at, line in enumerate(given) if line.strip() == END]
    block = [BEGIN, *lines, END] if lines else []
    if not begins and not ends:
        made = [*given, *block]
    elif len(begins) == len(ends) == 1 and begins[0] < ends[0]:
        made = [*given[: begins[0]], *block, *given[ends[0] + 1 :]]
    else:
        raise ConfigError(f"the file has not one pair of the lines {BEGIN!r} and {END!r}: mend it")
    return "".join(f"{line}\n" for line in made)

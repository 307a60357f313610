"""Turns what a person names (nodes, zones, the primary) into faults of single flows."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from paceline.errors import ConfigError
from paceline_local.chaos.faults import HEALTHY, Faults
from paceline_local.chaos.layout import CHANNELS, DISCOVERY, DYNAMODB, links_of, parties_of
from paceline_local.plan import ClusterPlan

Flow = tuple[str, str, str]
"""(sender, receiver, channel): bytes in one direction, whoever opened the connection."""

PRIMARY = "primary"
REPLICAS = "replicas"
ZONE = "zone:"

_STRENGTH = ("pass", "blackhole", "cut")


@dataclass(frozen=True, slots=True)
class Rule:
    """One command's effect: these fields of ``Faults`` on these flows."""

    id: int
    text: str
    flows: frozenset[Flow]
    change: Mapping[str, Any]
    until: float | None
    """The rule's end on ``paceline.clock``; None: until it is healed."""


def combine(rules: Iterable[Rule]) -> dict[Flow, Faults]:
    """A later rule overrides an earlier one of its kind where they meet; a blackhole does not
    undo a cut, nor the end of one partition another one."""
    found: dict[Flow, Faults] = {}
    for rule in rules:
        for flow in rule.flows:
            before = found.get(flow, HEALTHY)
            after = replace(before, **rule.change)
            if _STRENGTH.index(after.mode) < _STRENGTH.index(before.mode):
                after = replace(after, mode=before.mode)
            found[flow] = after
    return found


class Parties:
    """The programs of a plan, and the flows between them."""

    def __init__(self, plan: ClusterPlan, find_primary: Callable[[], str]) -> None:
        """``find_primary``: the id of the node that is primary now; Unavailable if none is."""
        self._zones = {node.id: node.zone for node in plan.nodes}
        self._find_primary = find_primary
        self.all = parties_of(plan)
        self.nodes = list(self._zones)
        self.flows: list[Flow] = []
        for link in links_of(plan):
            self.flows.append((link.dialler, link.acceptor, link.channel))
            self.flows.append((link.acceptor, link.dialler, link.channel))
        self.flows = list(dict.fromkeys(self.flows))

    def zone(self, node_id: str) -> str:
        return self._zones[node_id]

    def resolve(self, words: Iterable[str], zone: str | None = None) -> list[str]:
        """Names, each of which may be a list with commas, in the order of the plan.

        A word is a node's id, ``discovery``, ``dynamodb``, ``primary``, ``replicas`` or
        ``zone:NAME``. ConfigError for anything else.
        """
        found: set[str] = set()
        wanted = [part.strip() for word in words for part in word.split(",")]
        if zone is not None:
            wanted += [f"{ZONE}{part.strip()}" for part in zone.split(",")]
        for word in wanted:
            found.update(self._one(word))
        return [name for name in self.all if name in found]

    def _one(self, word: str) -> Collection[str]:
        if word in self.all:
            return [word]
        if word == DYNAMODB:
            raise ConfigError(
                "DynamoDB is reached by TLS, where no proxy can stand between: use the embedded "
                "one, or name one with --dynamodb http://HOST:PORT"
            )
        if word == PRIMARY:
            return [self._find_primary()]
        if word == REPLICAS:
            primary = self._find_primary()
            return [node for node in self.nodes if node != primary]
        if word.startswith(ZONE):
            zone = word.removeprefix(ZONE)
            found = [node for node, of in self._zones.items() if of == zone]
            if found:
                return found
            zones = ", ".join(dict.fromkeys(self._zones.values()))
            raise ConfigError(f"there is no zone {zone!r}: the zones are {zones}")
        raise ConfigError(f"there is no {word!r}: name one of {', '.join(self.all)}")

    def between(
        self,
        some: Collection[str],
        others: Collection[str],
        *,
        one_way: bool = False,
        channels: Sequence[str] = (),
    ) -> frozenset[Flow]:
        """The flows from ``some`` to ``others`` and, unless ``one_way``, back."""
        for channel in channels:
            if channel not in CHANNELS:
                raise ConfigError(
                    f"there is no channel {channel!r}: the channels are {', '.join(CHANNELS)}"
                )
        return frozenset(
            flow
            for flow in self.flows
            if (not channels or flow[2] in channels)
            and (
                (flow[0] in some and flow[1] in others)
                or (not one_way and flow[0] in others and flow[1] in some)
            )
        )

    def rest_of(self, some: Collection[str], *, dynamodb: bool) -> list[str]:
        """Every node outside ``some``, discovery, and DynamoDB if wanted."""
        rest = [*self.nodes, DISCOVERY]
        if dynamodb:
            rest += self.resolve([DYNAMODB])
        return [name for name in rest if name not in some]

    def partition(
        self,
        groups: Sequence[Collection[str]],
        *,
        one_way: bool = False,
        dynamodb: bool = False,
        channels: Sequence[str] = (),
    ) -> frozenset[Flow]:
        """Flows across the borders of the groups; a single group is parted from the rest.

        ``one_way``: only what the first group sends is lost.
        """
        sides = [list(group) for group in groups if group]
        if not sides:
            raise ConfigError("name whom to part: nodes, a zone or the primary")
        if len(sides) == 1:
            sides.append(self.rest_of(sides[0], dynamodb=dynamodb))
        elif dynamodb:
            sides[1] = [*sides[1], *self.resolve([DYNAMODB])]
        names = [name for side in sides for name in side]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"{', '.join(sorted(twice))} cannot be on two sides of a partition")
        if one_way:
            others = [name for side in sides[1:] for name in side]
            return self.between(sides[0], others, one_way=True, channels=channels)
        found: frozenset[Flow] = frozenset()
        for position, side in enumerate(sides):
            others = [name for later in sides[position + 1 :] for name in later]
            found |= self.between(side, others, channels=channels)
        return found

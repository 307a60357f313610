"""Carries out chaos commands: keeps the list of faults, and has them put on the links."""

import itertools
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from paceline import clock
from paceline.errors import ConfigError, Unavailable
from paceline_local.chaos.faults import (
    BYTES_PER_S_MIN,
    THROTTLE_ERROR_DEFAULT,
    THROTTLE_ERRORS,
    Faults,
    check_delay,
    check_share,
)
from paceline_local.chaos.layout import DISCOVERY, DYNAMODB
from paceline_local.chaos.programs import ProgramFaults, RunningPrograms
from paceline_local.chaos.rules import Flow, Rule, combine
from paceline_local.chaos.selection import EVERYTHING, EVERYWHERE, AffectedLinks, Selection
from paceline_local.chaos.timeline import Timeline, check_for, seconds

RULES_MAX = 1000
"""The most faults at once. A script that has more never heals."""


class Links(Protocol):
    def apply(self, faults: Mapping[Flow, Faults]) -> None: ...
    def describe(self) -> list[dict[str, Any]]: ...


class Controller:
    """One per running cluster. Every method may be called by any thread.

    ``programs`` has the commands that concern processes.
    """

    def __init__(self, programs: RunningPrograms, links: Links) -> None:
        self._links = links
        self._timeline = Timeline()
        self.programs = ProgramFaults(programs, self._timeline)
        self._lock = threading.RLock()
        self._rules: list[Rule] = []
        self._ids = itertools.count(1)

    def close(self) -> None:
        """Ends the timeline: nothing ends by itself any more."""
        self._timeline.close()

    def take_events(self) -> list[str]:
        """Returns what was done since the last call, for a person."""
        return self._timeline.take_events()

    # -- links ------------------------------------------------------------------------------

    def partition(
        self,
        groups: Sequence[Sequence[str]],
        whom: Selection = EVERYTHING,
        *,
        one_way: bool = False,
        cut: bool = False,
        dynamodb: bool = False,
        channels: Sequence[str] = (),
        for_s: float | None = None,
    ) -> int:
        """Each of ``groups`` parted from the others, ``whom`` being a further, first one.

        ``cut``: connections are reset and refused; else nothing arrives and nobody is told.
        """
        if cut and one_way:
            raise ConfigError(
                "a cut breaks connections, which go both ways: leave out one of the two"
            )
        sides = [self.programs.parties.resolve(group) for group in groups]
        if not whom.empty:
            sides.insert(0, self.programs.resolve(whom))
        flows = self.programs.parties.partition(
            sides, one_way=one_way, dynamodb=dynamodb, channels=channels
        )
        names = " | ".join(",".join(side) for side in sides)
        if len(sides) == 1:
            names += " | the rest"
        arrow = " (what the first sends is lost)" if one_way else ""
        verb = "cut" if cut else "partition"
        return self._add(
            f"{verb} {names}{arrow}", flows, {"mode": "cut" if cut else "blackhole"}, for_s
        )

    def latency(
        self,
        latency_s: float,
        whom: Selection = EVERYTHING,
        reach: AffectedLinks = EVERYWHERE,
        *,
        jitter_s: float = 0.0,
        for_s: float | None = None,
    ) -> int:
        """Delays bytes each way: a round trip takes twice as much longer, unless the reach is one
        way."""
        check_delay(latency_s, "a latency")
        check_delay(jitter_s, "a jitter")
        if jitter_s > latency_s:
            raise ConfigError("the jitter cannot be greater than the latency that it varies")
        text = f"latency {seconds(latency_s)}"
        text += f" ± {seconds(jitter_s)}" if jitter_s else ""
        change = {"latency_s": latency_s, "jitter_s": jitter_s}
        return self._shape(text, whom, reach, change, for_s)

    def bandwidth(
        self,
        bytes_per_s: float,
        whom: Selection = EVERYTHING,
        reach: AffectedLinks = EVERYWHERE,
        *,
        for_s: float | None = None,
    ) -> int:
        """Limits each flow by itself: from one program to another, each way, per channel."""
        if not bytes_per_s >= BYTES_PER_S_MIN:
            raise ConfigError(
                f"a bandwidth is at least {BYTES_PER_S_MIN:g} bytes per second: for less, use a "
                "partition"
            )
        change = {"bytes_per_s": bytes_per_s}
        return self._shape(f"bandwidth {bytes_per_s:g} B/s", whom, reach, change, for_s)

    def drop(
        self,
        probability: float,
        whom: Selection = EVERYTHING,
        reach: AffectedLinks = EVERYWHERE,
        *,
        for_s: float | None = None,
    ) -> int:
        """Resets the connection of a piece that arrives, with this probability."""
        check_share(probability, "a probability")
        return self._shape(f"drop {probability:g}", whom, reach, {"drop": probability}, for_s)

    # -- DynamoDB ---------------------------------------------------------------------------

    def throttle(
        self,
        share: float,
        whom: Selection = EVERYTHING,
        *,
        error: str = THROTTLE_ERROR_DEFAULT,
        for_s: float | None = None,
    ) -> int:
        """This share of requests to DynamoDB is answered with ``error``, and not passed on."""
        check_share(share, "what is throttled")
        if error not in THROTTLE_ERRORS:
            raise ConfigError(
                f"{error!r} is no throttling error: use one of {', '.join(THROTTLE_ERRORS)}"
            )
        change = {"throttle": share, "throttle_error": error}
        return self._at_dynamodb(f"throttle {share:g}", whom, change, for_s, one_way=True)

    def dynamodb_down(
        self,
        whom: Selection = EVERYTHING,
        *,
        hang: bool = False,
        for_s: float | None = None,
    ) -> int:
        """Connections are refused; with ``hang``, nothing answers."""
        change = {"mode": "blackhole" if hang else "cut"}
        return self._at_dynamodb(f"DynamoDB {'hangs' if hang else 'down'}", whom, change, for_s)

    def dynamodb_latency(
        self,
        latency_s: float,
        whom: Selection = EVERYTHING,
        *,
        jitter_s: float = 0.0,
        for_s: float | None = None,
    ) -> int:
        """Delays bytes to and from DynamoDB, each way."""
        return self.latency(
            latency_s,
            whom if not whom.empty else Selection(self.programs.parties.nodes),
            AffectedLinks(to=[DYNAMODB]),
            jitter_s=jitter_s,
            for_s=for_s,
        )

    def dynamodb_errors(
        self,
        share: float,
        whom: Selection = EVERYTHING,
        *,
        after: bool = False,
        for_s: float | None = None,
    ) -> int:
        """This share of requests is answered with status 500, ``after`` being carried out or
        instead: the node cannot tell which."""
        check_share(share, "what fails")
        text = f"DynamoDB errors {share:g} {'after' if after else 'before'} the request"
        change = {"errors_after" if after else "errors_before": share}
        return self._at_dynamodb(text, whom, change, for_s, one_way=True)

    # -- the end of it ----------------------------------------------------------------------

    def heal(
        self, fault: int | None = None, *, links_only: bool = False, wait: bool = True
    ) -> None:
        """End one fault, or everything: links, pauses, and programs that are dead."""
        with self._lock:
            if fault is not None:
                if fault not in {rule.id for rule in self._rules}:
                    raise ConfigError(f"there is no fault {fault}: see 'paceline chaos status'")
                self._rules = [rule for rule in self._rules if rule.id != fault]
            else:
                self._rules = []
            self._apply()
        if fault is None and not links_only:
            self.programs.resume_all()
        self._timeline.tell("healed" if fault is None else f"healed fault {fault}")
        if fault is None and not links_only:
            self.programs.restart(Selection(), wait=wait)

    def status(self) -> dict[str, Any]:
        now = clock.now()
        with self._lock:
            faults = [
                {
                    "id": rule.id,
                    "fault": rule.text,
                    "left_s": None if rule.until is None else max(0.0, rule.until - now),
                }
                for rule in self._rules
            ]
        return {
            "programs": self.programs.describe(),
            "faults": faults,
            "flows": self._links.describe(),
        }

    # -- within -----------------------------------------------------------------------------

    def _shape(
        self,
        text: str,
        whom: Selection,
        reach: AffectedLinks,
        change: Mapping[str, Any],
        for_s: float | None,
    ) -> int:
        if whom.empty:
            some: Collection[str] = [*self.programs.parties.nodes, DISCOVERY]
            others: Collection[str] = some
            if reach.dynamodb:
                others = [*some, *self.programs.parties.resolve([DYNAMODB])]
            if reach.to:
                others = self.programs.parties.resolve(reach.to)
        else:
            some = self.programs.resolve(whom)
            others = self.programs.parties.rest_of(some, dynamodb=reach.dynamodb)
            if reach.to:
                others = self.programs.parties.resolve(reach.to)
            text += f" {'from' if reach.one_way else 'at'} {','.join(some)}"
        if reach.to:
            text += f" to {','.join(others)}"
        flows = self.programs.parties.between(
            some, others, one_way=reach.one_way, channels=reach.channels
        )
        return self._add(text, flows, change, for_s)

    def _at_dynamodb(
        self,
        text: str,
        whom: Selection,
        change: Mapping[str, Any],
        for_s: float | None,
        *,
        one_way: bool = False,
    ) -> int:
        dynamodb = self.programs.parties.resolve([DYNAMODB])
        nodes = self.programs.parties.nodes if whom.empty else self.programs.resolve(whom)
        if not whom.empty:
            text += f" for {','.join(nodes)}"
        return self._add(
            text, self.programs.parties.between(nodes, dynamodb, one_way=one_way), change, for_s
        )

    def _add(
        self,
        text: str,
        flows: frozenset[Flow],
        change: Mapping[str, Any],
        for_s: float | None,
    ) -> int:
        check_for(for_s)
        if not flows:
            raise ConfigError(f"{text}: there is no link between these")
        with self._lock:
            if len(self._rules) >= RULES_MAX:
                raise ConfigError(f"there are {RULES_MAX} faults already: heal them first")
            until = None if for_s is None else clock.now() + for_s
            rule = Rule(next(self._ids), text, flows, change, until)
            self._rules.append(rule)
            try:
                self._apply()
            except Unavailable:
                self._rules.remove(rule)
                raise
        self._timeline.tell(text, for_s)
        self._timeline.after(for_s, lambda: self._expire(rule.id))
        return rule.id

    def _expire(self, fault: int) -> None:
        with self._lock:
            rule = next((rule for rule in self._rules if rule.id == fault), None)
            if rule is None:
                return
            self._rules.remove(rule)
            self._apply()
        self._timeline.tell(f"over: {rule.text}")

    def _apply(self) -> None:
        self._links.apply(combine(self._rules))

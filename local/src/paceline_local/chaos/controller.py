"""Carries out chaos commands: keeps the list of faults, and has them put on the links."""

import itertools
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from paceline import clock
from paceline.dynamodb_operations import THROTTLING_ERRORS
from paceline.errors import ConfigError, Unavailable
from paceline_local.chaos.faults import (
    BYTES_PER_S_MIN,
    Faults,
    check_delay,
    check_share,
)
from paceline_local.chaos.layout import DISCOVERY, DYNAMODB
from paceline_local.chaos.programs import ProgramFaults, RunningPrograms
from paceline_local.chaos.rules import Flow, Rule, combine
from paceline_local.chaos.timeline import Timeline, check_for, seconds
from paceline_local.chaos.verbs import (
    Bandwidth,
    Drop,
    DynamoDBDown,
    DynamoDBErrors,
    DynamoDBLatency,
    Heal,
    Kill,
    Lasting,
    Latency,
    OnLinks,
    Partition,
    Pause,
    Restart,
    Resume,
    Selective,
    Throttle,
    Verb,
)

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
        self._ways: Mapping[type[Verb], Callable[[Any], Any]] = {
            Kill: self.programs.kill,
            Pause: self.programs.pause,
            Resume: self.programs.resume,
            Restart: self.programs.restart,
            Partition: self._partition,
            Latency: self._latency,
            Bandwidth: self._bandwidth,
            Drop: self._drop,
            Throttle: self._throttle,
            DynamoDBDown: self._dynamodb_down,
            DynamoDBLatency: self._dynamodb_latency,
            DynamoDBErrors: self._dynamodb_errors,
            Heal: self._heal,
        }

    def close(self) -> None:
        """Ends the timeline: nothing ends by itself any more."""
        self._timeline.close()

    def take_events(self) -> list[str]:
        """Returns what was done since the last call, for a person."""
        return self._timeline.take_events()

    def do(self, verb: Verb) -> Any:
        """The names of the programs that were changed, the number of a fault, or None.

        ConfigError if it cannot work as it was asked for, Unavailable if it does not work now.
        """
        return self._ways[type(verb)](verb)

    # -- links ------------------------------------------------------------------------------

    def _partition(self, verb: Partition) -> int:
        if verb.cut and verb.one_way:
            raise ConfigError(
                "a cut breaks connections, which go both ways: leave out one of the two"
            )
        parties = self.programs.parties
        sides = [parties.resolve(group) for group in verb.groups]
        first = Selective(zone=verb.zone, primary=verb.primary)
        if not first.names_nobody:
            sides.insert(0, self.programs.resolve(first))
        flows = parties.partition(
            sides, one_way=verb.one_way, dynamodb=verb.dynamodb, channels=verb.channels
        )
        names = " | ".join(",".join(side) for side in sides)
        if len(sides) == 1:
            names += " | the rest"
        text = f"{'cut' if verb.cut else verb.name} {names}"
        text += " (what the first sends is lost)" if verb.one_way else ""
        return self._add(text, flows, {"mode": "cut" if verb.cut else "blackhole"}, verb.for_s)

    def _latency(self, verb: Latency) -> int:
        check_delay(verb.latency_s, "a latency")
        check_delay(verb.jitter_s, "a jitter")
        if verb.jitter_s > verb.latency_s:
            raise ConfigError("the jitter cannot be greater than the latency that it varies")
        text = f"latency {seconds(verb.latency_s)}"
        text += f" ± {seconds(verb.jitter_s)}" if verb.jitter_s else ""
        return self._shape(text, verb, {"latency_s": verb.latency_s, "jitter_s": verb.jitter_s})

    def _bandwidth(self, verb: Bandwidth) -> int:
        if not verb.bytes_per_s >= BYTES_PER_S_MIN:
            raise ConfigError(
                f"a bandwidth is at least {BYTES_PER_S_MIN:g} bytes per second: for less, use a "
                "partition"
            )
        text = f"bandwidth {verb.bytes_per_s:g} B/s"
        return self._shape(text, verb, {"bytes_per_s": verb.bytes_per_s})

    def _drop(self, verb: Drop) -> int:
        check_share(verb.probability, "a probability")
        return self._shape(f"drop {verb.probability:g}", verb, {"drop": verb.probability})

    # -- DynamoDB ---------------------------------------------------------------------------

    def _throttle(self, verb: Throttle) -> int:
        check_share(verb.share, "what is throttled")
        if verb.error not in THROTTLING_ERRORS:
            raise ConfigError(
                f"{verb.error!r} is no throttling error: use one of {', '.join(THROTTLING_ERRORS)}"
            )
        change = {"throttle": verb.share, "throttle_error": verb.error}
        return self._at_dynamodb(f"throttle {verb.share:g}", verb, change, one_way=True)

    def _dynamodb_down(self, verb: DynamoDBDown) -> int:
        change = {"mode": "blackhole" if verb.hang else "cut"}
        return self._at_dynamodb(f"DynamoDB {'hangs' if verb.hang else 'down'}", verb, change)

    def _dynamodb_latency(self, verb: DynamoDBLatency) -> int:
        given = asdict(verb)
        if verb.names_nobody:
            given["targets"] = self.programs.parties.nodes
        return self._latency(Latency(**given, to=[DYNAMODB]))

    def _dynamodb_errors(self, verb: DynamoDBErrors) -> int:
        check_share(verb.share, "what fails")
        text = f"DynamoDB errors {verb.share:g} {'after' if verb.after else 'before'} the request"
        change = {"errors_after" if verb.after else "errors_before": verb.share}
        return self._at_dynamodb(text, verb, change, one_way=True)

    # -- the end of it ----------------------------------------------------------------------

    def _heal(self, verb: Heal) -> None:
        fault = verb.fault
        with self._lock:
            if fault is not None:
                if fault not in {rule.id for rule in self._rules}:
                    raise ConfigError(f"there is no fault {fault}: see 'paceline chaos status'")
                self._rules = [rule for rule in self._rules if rule.id != fault]
            else:
                self._rules = []
            self._apply()
        everything = fault is None and not verb.links_only
        if everything:
            self.programs.resume_all()
        self._timeline.tell("healed" if fault is None else f"healed fault {fault}")
        if everything:
            self.programs.restart(Restart(wait=verb.wait))

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

    def _shape(self, text: str, verb: OnLinks, change: Mapping[str, Any]) -> int:
        parties = self.programs.parties
        if verb.names_nobody:
            some: Collection[str] = [*parties.nodes, DISCOVERY]
            others: Collection[str] = some
            if verb.dynamodb:
                others = [*some, *parties.resolve([DYNAMODB])]
        else:
            some = self.programs.resolve(verb)
            others = parties.rest_of(some, dynamodb=verb.dynamodb)
            text += f" {'from' if verb.one_way else 'at'} {','.join(some)}"
        if verb.to:
            others = parties.resolve(verb.to)
            text += f" to {','.join(others)}"
        flows = parties.between(some, others, one_way=verb.one_way, channels=verb.channels)
        return self._add(text, flows, change, verb.for_s)

    def _at_dynamodb(
        self, text: str, verb: Lasting, change: Mapping[str, Any], *, one_way: bool = False
    ) -> int:
        dynamodb = self.programs.parties.resolve([DYNAMODB])
        nodes = self.programs.parties.nodes if verb.names_nobody else self.programs.resolve(verb)
        if not verb.names_nobody:
            text += f" for {','.join(nodes)}"
        flows = self.programs.parties.between(nodes, dynamodb, one_way=one_way)
        return self._add(text, flows, change, verb.for_s)

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

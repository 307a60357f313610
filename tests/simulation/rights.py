"""Who may do what in a run, as its log has it at each time, and whether answers went by that.

Told by the log alone: policies come from a few kinds, and what each allows is said here a second
time, in a way that has nothing to do with the evaluator's.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.access.records import from_bytes
from cluster.access.sealing import Seal
from cluster.log.state import ReplicatedState
from paceline.dynamodb_operations import named_tables
from paceline.types import Params
from tests.simulation.check import Violation
from tests.simulation.tables import RANGED

CLUSTER, KEY = "paceline", "simulated" * 4
SEAL = Seal([KEY], CLUSTER)
"""Of the key file of all nodes."""

PARTITION = "p0"
"""Of the one partition that some may read and write."""

SLACK_S = 0.05
"""For what takes no time in the cluster, and some on its clocks."""

READS = frozenset({"GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan"})
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
REFUSALS = frozenset({"AccessDeniedException", "UnrecognizedClientException"})


@dataclass(frozen=True)
class Rights:
    """Times in seconds of true time. ``stale_s``: as ``AccessSettings.stale_s``."""

    principals: int = 3
    change_every_s: float = 0.7
    """Mean pause between two changes of an operator."""
    stale_s: float = 4.0
    as_callers: bool = False
    """Requests go to DynamoDB in callers' names, and a node itself may describe tables there and no
    more."""
    seen_s: float = 1.0
    """As ``AccessSettings.upstream_rights_s``."""


def drawn_rights(rng: random.Random) -> Rights:
    return Rights(
        principals=rng.choice([1, 3, 6]),
        change_every_s=rng.choice([0.2, 0.7, 3.0]),
        stale_s=rng.choice([2.0, 5.0, 60.0]),
    )


def _policy(*actions: str, resource: Any = "*", **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


_ONE_KEY = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [PARTITION]}}
_KINDS: Mapping[str, Mapping[str, str]] = {
    "all": {"all": _policy("dynamodb:*")},
    "nothing": {},
    "reads": {
        "reads": _policy(
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:Query",
            "dynamodb:Scan",
            "dynamodb:PartiQLSelect",
        )
    },
    "table": {
        "table": _policy(
            "dynamodb:*",
            resource=[
                f"arn:aws:dynamodb:*:*:table/{RANGED}",
                f"arn:aws:dynamodb:*:*:table/{RANGED}/*",
            ],
        )
    },
    "partition": {"partition": _policy("dynamodb:*Item", Condition=_ONE_KEY)},
    "no reads": {
        "all": _policy("dynamodb:*"),
        "no_reads": _policy("dynamodb:GetItem", "dynamodb:BatchGetItem").replace("Allow", "Deny"),
    },
}
KINDS = tuple(_KINDS)


def policies(kind: str) -> str:
    """As the operator's command takes them."""
    return json.dumps(_KINDS[kind])


def _kind(names: Mapping[str, str]) -> str:
    return next(kind for kind, texts in _KINDS.items() if texts.keys() == names.keys())


def allows(kind: str, operation: str, params: Params) -> bool | None:
    """None: not told here."""
    if kind in ("all", "nothing"):
        # What a statement does that cannot be read, cannot be judged: by a verb that is not known,
        # or with a comment, of which it is not known whether DynamoDB takes it for one.
        text = params.get("Statement", "")
        unread = "UPSERT" in text or "/*" in text
        return None if unread and kind == "all" else kind == "all"
    if operation not in READS | WRITES:
        return None  # statements, and what is about tables
    if kind == "reads":
        return operation in READS
    if kind == "no reads":
        return None if operation == "TransactGetItems" else operation in WRITES | {"Query", "Scan"}
    tables = set(named_tables(operation, params))
    if kind == "table":
        return tables <= {RANGED}
    assert kind == "partition"
    if operation in ("Query", "Scan"):
        return False
    if tables != {RANGED}:
        return None
    # Whether a table is described decides whether its keys are known: so far it may be refused.
    return None if set(_partitions(operation, params)) <= {PARTITION} else False


def _partitions(operation: str, params: Params) -> Iterator[str]:
    """Of all items of the ranged table that are named."""
    match operation:
        case "GetItem" | "UpdateItem" | "DeleteItem":
            yield params["Key"]["p"]["S"]
        case "PutItem":
            yield params["Item"]["p"]["S"]
        case "BatchGetItem":
            for one in params["RequestItems"].values():
                yield from (key["p"]["S"] for key in one["Keys"])
        case "BatchWriteItem":
            for requests in params["RequestItems"].values():
                for request in requests:
                    ((_, body),) = request.items()
                    yield (body.get("Item") or body["Key"])["p"]["S"]
        case _:
            for action in params["TransactItems"]:
                ((_, body),) = action.items()
                yield (body.get("Item") or body["Key"])["p"]["S"]


@dataclass(frozen=True, slots=True)
class _Holder:
    kind: str
    disabled: bool
    keys: frozenset[str]
    """Those that are good."""


_State = Mapping[str, _Holder]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of somebody. ``key``: the id of the access key that it was signed with."""

    name: str
    key: str
    operation: str
    params: Params


class RightsWatch:
    """Holds answers against what the log said while they were made, or shortly before.

    A hit may go by what was true a primary lease ago; a node that is cut off by what was true
    ``stale_s`` before, besides.
    """

    def __init__(self, clock: Callable[[], float], primary_s: float, stale_s: float) -> None:
        self._clock = clock
        self._hit_s = primary_s * 1.1 + SLACK_S
        self._stale_s = stale_s * 1.1 + self._hit_s
        self._revision = 0
        self._states: list[tuple[float, _State]] = [(0.0, {})]
        self.judged = 0

    def applied(self, state: ReplicatedState) -> None:
        """A node has applied something: the first one that applies a change makes it true."""
        principals = state.principals
        if principals.revision <= self._revision:
            return
        self._revision = principals.revision
        told: dict[str, _Holder] = {}
        for name, sealed in principals.by_name.items():
            record = from_bytes(SEAL.open(name, sealed.sealed))
            keys = frozenset(key.id for key in record.keys if not key.disabled)
            told[name] = _Holder(_kind(record.policies), record.disabled, keys)
        self._states.append((self._clock(), told))

    def answered(self, asked: Asked, begun: float, *, hit: bool) -> None:
        """It was carried out, or refused for a reason that only who may do it is told."""
        self.judged += 1
        since = begun - (self._hit_s if hit else self._stale_s)
        states = list(self._between(since))
        if not any(self._allowed(state, asked) is not False for state in states):
            raise Violation(
                f"{asked.operation} for {asked.name} by {asked.key} was done at"
                f" {self._clock():.3f}{', a hit' if hit else ''}, and not allowed since"
                f" {since:.3f}: {[state.get(asked.name) for state in states]}"
            )

    def refused(self, asked: Asked, begun: float, why: str) -> None:
        self.judged += 1
        states = list(self._between(begun - self._stale_s))
        if all(self._allowed(state, asked) is True for state in states):
            raise Violation(
                f"{asked.operation} {asked.params} for {asked.name} by {asked.key} was refused at"
                f" {self._clock():.3f}, though it was allowed all the time: {why}"
            )

    def _between(self, since: float) -> Iterator[_State]:
        """All that were true at some time from then on."""
        for index, (_, state) in enumerate(self._states):
            after = self._states[index + 1 : index + 2]
            if not after or after[0][0] >= since:
                yield state

    @staticmethod
    def _allowed(state: _State, asked: Asked) -> bool | None:
        holder = state.get(asked.name)
        if holder is None or holder.disabled or asked.key not in holder.keys:
            return False
        return allows(holder.kind, asked.operation, asked.params)

"""All operations with what their model admits and does not: nothing breaks, and what is refused
has changed nothing."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from typing import Any

import botocore.loaders
import botocore.model

from cluster.log.state import ReplicatedState
from discovery.control.acting import Actor
from discovery.control.model import Model
from discovery.control.records import Records, Site
from discovery.control.world import Act, ClusterAct, Listed, Seen
from tests.unit.discovery.control.control_world import ARN, PLACE, Control, member, view_of
from tests.unit.discovery.control.test_nodes import FakeLauncher

CALLS = 1_500
SEED = int(os.environ.get("PACELINE_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)

SECOND = PLACE.arn("second")

WORDS = {
    "ClusterName": ["paceline", "PACELINE", "second", "other", "", "a b"],
    "ParameterGroupName": ["default.dax1.0", "g1", "g1", "g2", "default.x", ""],
    "SubnetGroupName": ["default", "s1", "s2", "S1", "x" * 256],
    "NodeId": ["node-1", "node-9", ""],
    "ResourceName": [ARN, SECOND, ARN + "x", "arn:aws:s3:::b", ""],
    "ParameterName": ["record-ttl-millis", "query-ttl-millis"] * 3 + ["other"],
    "ParameterValue": ["0", "1", "60000", "-1", "9" * 40],
    "Key": ["team", "cost", "aws:x", ""],
    "NodeType": ["dax.r5.large", "dax.t3.small", "x"],
    "IamRoleArn": ["arn:aws:iam::123456789012:role/r", "r"],
    "NotificationTopicArn": ["arn:aws:sns:eu-west-1:000000000000:t", "t"],
    "NotificationTopicStatus": ["active", "inactive", "x"],
    "PreferredMaintenanceWindow": ["sun:01:00-sun:02:00", "x"],
    "Source": ["user", "system", "x"],
    "SourceName": ["paceline", "g1"],
    "NextToken": ["", "x", "WyJ4IiwgInkiXQ=="],
    "member": ["sg-1", "subnet-1", "subnet-2", "paceline", "g1", "s1", "node-1", "team", "x", ""],
}
ODD = [None, "", "\x00", "\ud83d\ude00" * 3, "x" * 5_000, -1, 0, 2**31, 1.5, True, [], {}, [[]]]


class Later(Actor):
    """``begun``: what is to be done, which the test does. ``launcher``: asked if it can."""

    def __init__(self, control: Control) -> None:
        self.launcher = FakeLauncher()
        super().__init__(self.launcher, control.service._ended)
        self.begun: list[Act | ClusterAct] = []

    def begin(self, acts: Sequence[Act | ClusterAct]) -> None:
        self.begun += acts

    async def do(self, control: Control, rng: random.Random) -> None:
        """All of it, which succeeds or not; clusters that were started are seen."""
        acts, self.begun = self.begun, []
        for act in acts:
            problem = rng.choice(["", "", "it does not start"])
            await control.service._ended(act, problem)
            if isinstance(act, ClusterAct) and act.kind == "start" and not problem:
                site = Site("127.0.0.2", 8111)
                members = [member(at, zone) for at, (_, zone) in enumerate(act.nodes, 1)]
                seen = Seen(view_of(*members), {}, {}, in_sync=True)
                control.more["seen"] = {**control.more["seen"], act.cluster: seen}
                listed = {**control.more["listed"], act.cluster: Listed(act.id, site)}
                control.more["listed"] = listed
                await control.service.observe()
                await control.service.observe()


class Drawn:
    """Parameters by the service's own description, mostly as it admits them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        loaded = botocore.loaders.Loader().load_service_model("dax", "service-2")
        self.service = botocore.model.ServiceModel(loaded, "dax")

    def call(self) -> tuple[str, Any]:
        name = self.rng.choice(sorted(self.service.operation_names))
        return name, self._value(self.service.operation_model(name).input_shape, "")

    def _value(self, shape: Any, name: str) -> Any:
        rng = self.rng
        if name and rng.random() < 0.03:
            return rng.choice(ODD)
        if shape.type_name == "structure":
            small = 0.9 if len(shape.members) == 2 else 0.25
            wanted = [
                one
                for one in shape.members
                if rng.random() < (0.98 if one in shape.required_members else small)
            ]
            made = {one: self._value(shape.members[one], one) for one in wanted}
            return {**made, "Odd": 1} if rng.random() < 0.01 else made
        if shape.type_name == "list":
            return [self._value(shape.member, "member") for _ in range(rng.choice([0, 1, 1, 2, 3]))]
        if shape.type_name == "string":
            return rng.choice(shape.enum or WORDS.get(name, ["some text", "é"]))
        if shape.type_name == "integer":
            return rng.choice([1, 2, 3, 5, 20, 60, 100, 0, -1])
        if shape.type_name == "boolean":
            return rng.choice([True, False])
        assert shape.type_name == "timestamp", shape.type_name
        return rng.choice([0, 1.5, 1_700_000_000, 4_000_000_000, "2026-01-01T00:00:00Z"])


async def test_whatever_is_asked() -> None:
    print(f"PACELINE_SEED={SEED}")
    drawn, control, model = Drawn(random.Random(SEED)), Control(), Model()
    control.more |= {"acts": True, "seen": {}, "listed": {}}
    control.service.actor = later = Later(control)
    general = {
        *("SerializationException", "ValidationException"),
        *("InvalidParameterValueException", "InvalidParameterCombinationException"),
    }
    ends: set[tuple[str, str]] = set()
    for number in range(CALLS):
        operation, asked = drawn.call()
        later.launcher.refuses = drawn.rng.choice(["", "", "", "there is no room"])
        before = control.state.snapshot()
        status, told = await control.send(operation, json.dumps(asked).encode())
        said = f"call {number}: {operation} {asked!r:.500} → {status} {told!r:.500}"
        assert status in (200, 400), said
        if status == 400:
            assert told["message"], said
            assert told["__type"] in model.errors_of(operation) | general, said
            assert control.state.snapshot() == before, said
        elif operation.startswith(("Describe", "List")):
            assert control.state.snapshot() == before, said
        ends.add((operation, told.get("__type", "")))
        await later.do(control, drawn.rng)
    assert len({name for name, error in ends if not error}) >= 12, "most operations succeed"
    assert len({error for _, error in ends}) >= 16, (
        f"and most errors are met: {sorted({error for _, error in ends})}"
    )
    again = ReplicatedState()
    again.restore(control.state.snapshot())
    Records.of(again.control.by_name)

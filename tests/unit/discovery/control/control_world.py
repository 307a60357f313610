"""The control plane without a network: a log of its own, and a roster that the test draws."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cluster.access.counting import Refusals
from cluster.access.directories import AllPrincipals
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.log import commands as c
from cluster.log.state import ReplicatedState
from cluster.log.view import ClusterView, Member
from cluster.roster.control_feed import Told
from cluster.roster.endpoints import Health
from discovery.control.feed import ControlFeed
from discovery.control.names import Place
from discovery.control.records import Records
from discovery.control.service import JSON, TARGET, ControlPlane
from discovery.control.world import Front, World
from discovery.services.callers import ServiceCallers
from discovery.services.requests import ServiceRequest
from paceline.access.policies.context import arn_of
from paceline.access.policies.policy import Policy
from paceline.clock import wall_time

REGION = "eu-west-1"
ACCOUNT = "000000000000"
PLACE = Place("paceline", REGION, ACCOUNT)
ARN = PLACE.arn("paceline")
SECRET = "s" * 40
FACTS = {"bytes_max": 256 * 1024 * 1024, "record_ttl_millis": 300_000, "query_ttl_millis": 200_000}


def member(number: int, zone: str, **more: Any) -> Member:
    addresses = {"dax/default": f"10.0.0.{number}:8111", "dax-tls/tls": f"10.0.0.{number}:9111"}
    made = Member(f"node-{number}", zone, f"i-{number}", number, addresses)
    return replace(made, **more)


def view_of(*members: Member, epoch: int = 1, primary: str | None = "node-1") -> ClusterView:
    return ClusterView("c-1", members, epoch, primary, tuple(one.id for one in members))


THREE = view_of(member(1, "a"), member(2, "b"), member(3, "c"))


class FakeFeed(ControlFeed):
    """``before_change``: called before each change; may change the log itself."""

    def __init__(self, state: ReplicatedState) -> None:
        super().__init__(lambda: None, None)  # type: ignore[arg-type] - it reaches nobody
        self.state = state
        self.before_change: Callable[[], None] | None = None
        self.failure: Exception | None = None
        self.hear()

    def hear(self) -> None:
        again = ReplicatedState()
        again.restore(self.state.snapshot())
        self._take(Told("c-1", again.control, FACTS))

    async def change(self, command: c.ChangeControl, timeout_s: float) -> tuple[int, str]:
        if self.before_change is not None:
            self.before_change()
        if self.failure is not None:
            raise self.failure
        result = self.state.apply(c.encode(command))
        self.hear()
        return (result.value, "") if result.ok else (0, result.reason)


class Control:
    """``call`` asks, as a client would that signs with ``key``, if there is one."""

    def __init__(self, *users: tuple[Principal, AccessKey], authorizes: bool = True) -> None:
        self.state = ReplicatedState()
        self.feed = FakeFeed(self.state)
        self.view, self.health = THREE, dict[str, Health]()
        self.front = Front("127.0.0.1", 8111, "default", tls=False, only_tls=False)
        self.more: dict[str, Any] = {}
        self.now: float | None = None
        self.refusals = Refusals()
        known = AllPrincipals([KnownPrincipals(tuple(p for p, _ in users), [k for _, k in users])])
        callers = ServiceCallers(known, REGION) if users else None
        self.service = ControlPlane(
            PLACE,
            self.feed,
            self.world,
            callers,
            self.refusals,
            wall_time,
            authorizes=authorizes,
        )

    def world(self, host: str = "") -> World | None:
        if self.feed.told is None:
            return None
        stored = self.feed.told.records
        now = wall_time() if self.now is None else self.now
        records = Records.of(stored.by_name)
        return World(
            records, stored, self.view, self.health, PLACE, self.front, FACTS, now, **self.more
        )

    @property
    def records(self) -> Mapping[str, Any]:
        return {name: json.loads(one) for name, one in self.state.control.by_name.items()}

    @property
    def messages(self) -> list[str]:
        return [json.loads(one)["message"] for one in self.state.control.events]

    async def send(
        self, operation: str, body: bytes, key: AccessKey | None = None, method: str = "POST"
    ) -> tuple[int, Any]:
        asked = AWSRequest(method, "http://127.0.0.1:8113/", data=body)
        asked.headers["X-Amz-Target"] = TARGET + operation
        asked.headers["Content-Type"] = JSON
        if key is not None:
            SigV4Auth(Credentials(key.id, key.secret), "dax", REGION).add_auth(asked)
        headers = [("Host", "127.0.0.1:8113"), *asked.headers.items()]
        pairs = tuple((name.encode(), str(value).encode()) for name, value in headers)
        request = ServiceRequest("id-1", method, "/", pairs, body, "127.0.0.1")
        assert self.service.takes(request)
        answer = await self.service.answer(request)
        assert answer.content_type == JSON
        return answer.status, json.loads(answer.body)

    async def call(self, operation: str, key: AccessKey | None = None, **asked: Any) -> Any:
        """The result, which has to be one."""
        status, told = await self.send(operation, json.dumps(asked).encode(), key)
        assert status == 200, told
        return told

    async def refused(
        self, operation: str, key: AccessKey | None = None, **asked: Any
    ) -> tuple[str, str]:
        """The error's name and message; nothing may have changed."""
        before = self.state.snapshot()
        status, told = await self.send(operation, json.dumps(asked).encode(), key)
        assert status == 400, told
        assert self.state.snapshot() == before
        return told["__type"], told["message"]


def user(name: str, number: int, *policies: str) -> tuple[Principal, AccessKey]:
    made = tuple(Policy.parse(text, f"policy-{place}") for place, text in enumerate(policies))
    return (
        Principal(name, arn_of(name), {}, made),
        AccessKey(f"PLAK{number:016}", SECRET, name),
    )

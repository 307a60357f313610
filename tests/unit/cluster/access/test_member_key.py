"""The cluster's own programs prove who they are where all clients have to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cluster.access.directories import AllPrincipals
from cluster.access.member_key import NAME, member_key, member_principals, signed_by
from cluster.access.records import PrincipalRecord
from cluster.access.signatures.verification import Rules
from cluster.log.view import Member
from cluster.roster.endpoints import Health
from cluster.roster.liveness import ProbeTimes
from cluster.roster.prober import Prober
from cluster.settings import Listener
from cluster.transport.client_server import Shared
from cluster.transport.dax_callers import DaxCallers
from cluster.transport.dax_interface import ConnectionInfo
from cluster.transport.dax_server import DaxServer
from cluster.transport.expected import ExpectedLimits
from paceline.dax.request_types import Request
from tests.support.waiting import until

SECRET, OTHER = "s" * 44, "o" * 44
REGION = "eu-west-1"
DEADLINE_S = 20.0


def test_it_belongs_to_a_secret_and_a_cluster() -> None:
    keys = {member_key(secret, name).secret for secret in (SECRET, OTHER) for name in ("a", "b")}
    assert len(keys) == 4
    assert member_key(SECRET, "a") == member_key(SECRET, "a")
    assert SECRET not in repr(member_principals(SECRET, "a").key(member_key(SECRET, "a").id))


def test_nobody_can_have_its_name_and_it_may_do_nothing() -> None:
    with pytest.raises(ValueError, match="no name"):
        PrincipalRecord(NAME)
    principal = AllPrincipals([member_principals(SECRET, "a")]).principal(NAME)
    assert principal is not None
    assert principal.policies == ()


class Node:
    def __init__(self) -> None:
        self.asked = 0

    def fast(self, data: bytes, by: object = None) -> bytes | None:
        return None

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        assert peer.caller is not None
        assert peer.caller.verified is not None
        assert peer.caller.verified.principal.name == NAME
        self.asked += 1
        return b"\x80"


async def test_a_prober_that_signs_is_not_taken_for_a_stranger() -> None:
    """Whoever does not say who he is loses his connection when a newcomer's time is over."""
    node = Node()
    server = DaxServer(
        node,
        connections_max=5,
        shared=Shared(expected=ExpectedLimits(first_request_s=0.3)),
        callers=DaxCallers(member_principals(SECRET, "c"), Rules(REGION)),
    )
    await server.start([Listener(bind="127.0.0.1:0")])
    host, port = server.addresses["default"]
    seen: list[Health] = []
    sign = signed_by(member_key(SECRET, "c"), REGION, lambda: datetime.now(UTC))
    prober = Prober(lambda _, health: seen.append(health), times=ProbeTimes(0.02), sign=sign)
    prober.follow([Member("n1", "a", "i", 1, {"dax/default": f"{host}:{port}"})])
    try:
        await until(
            lambda: node.asked >= 50, "it is so", DEADLINE_S
        )  # a second, in which it would be ended
        assert seen == [Health.ALIVE]
    finally:
        await prober.aclose()
        await server.abort()

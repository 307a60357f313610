"""A node is taken out of rosters by a command, and no other node is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from cluster.agent import Agent
from cluster.log import commands as c
from cluster.log.state import ReplicatedState
from cluster.log.view import ClusterView, Member
from node.admin.members import MemberCommands
from paceline.errors import RequestError


class FakeAgent:
    def __init__(self) -> None:
        self.state = ReplicatedState()
        self.consensus = SimpleNamespace(
            leader="n1", trouble=None, members={}, voters=frozenset[str]()
        )
        self.state.apply_command(c.Bootstrap("c-1", {"n1": "h:1", "n2": "h:2"}))
        for node in ("n1", "n2"):
            assert self.state.apply_command(c.RegisterMember(Member(node, "a", "i"), node)).ok

    @property
    def view(self) -> ClusterView:
        return self.state.view

    async def register(self, member: Member, timeout_s: float) -> None:
        assert self.state.apply_command(c.RegisterMember(member, member.id)).ok


async def test_a_node_drains_itself_and_no_other() -> None:
    agent = FakeAgent()
    drain = MemberCommands(cast(Agent, agent), "n1").commands["/members/drain"]
    for node in ("n2", "n3"):
        with pytest.raises(RequestError, match="not the node that was asked"):
            await drain({"id": node})
    with pytest.raises(RequestError, match="missing"):
        await drain({})
    await drain({"id": "n1"})
    assert [member.draining for member in agent.view.members] == [True, False]
    assert agent.view.members[0].incarnation == "i"

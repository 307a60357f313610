"""Operators' commands on who takes part in the replicated log, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.agent import Agent
from cluster.service.commands import AdminCommand
from cluster.transport.addresses import split_host_port
from paceline.clock import now
from paceline.errors import ConfigError, RequestError, Unavailable

CHANGE_S = 20.0
"""The time for one change: a leader may have to be elected first."""

POLL_S = 0.05


class MemberCommands:
    """``own_id``: of the node that takes the commands."""

    def __init__(self, agent: Agent, own_id: str) -> None:
        self._agent = agent
        self._own_id = own_id

    @property
    def commands(self) -> Mapping[str, AdminCommand]:
        """By the path of their POST."""
        verbs = (self.add, self.remove, self.promote, self.drain)
        return {f"/members/{verb.__name__}": verb for verb in verbs}

    def as_dict(self) -> dict[str, Any]:
        """Returns what the log is made of, as far as this node knows; by node id."""
        state, consensus = self._agent.state, self._agent.consensus
        return {
            "leader": consensus.leader,
            "trouble": consensus.trouble,
            "members": {
                node: {
                    "address": address,
                    "disk": state.disks.get(node),
                    "part": self._part(node),
                    "registered": self._agent.view.member(node) is not None,
                }
                for node, address in sorted(state.voters.items())
            },
        }

    async def add(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``id``, ``address``: the node may be started then, with all members as its peers."""
        node, address = _named(query, "id"), _named(query, "address")
        try:
            split_host_port(address)
        except ConfigError as error:
            raise RequestError("ValidationException", str(error)) from error
        await self._agent.add_member(node, address, CHANGE_S)
        return self.as_dict()

    async def remove(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``id``: it may be switched off for good then."""
        await self._agent.remove_member(_named(query, "id"), CHANGE_S)
        return self.as_dict()

    async def drain(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``id``: this node's own. Out of every roster, until it is started again: new clients do
        not find it, and those that it has leave it when they next ask who is there."""
        node = _named(query, "id")
        member = self._agent.view.member(node)
        if node != self._own_id or member is None:
            raise RequestError("ValidationException", f"{node} is not the node that was asked")
        await self._agent.register(replace(member, draining=True), CHANGE_S)
        return self.as_dict()

    async def promote(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``id``: returns once it votes. The leader promotes a member by itself, as soon as that
        has the log."""
        node = _named(query, "id")
        if node not in self._agent.state.voters:
            raise RequestError("ValidationException", f"{node} is not a member; add it first")
        deadline = now() + CHANGE_S
        while (part := self._part(node)) != "voter":
            if now() >= deadline:
                raise Unavailable(_why_not(node, part))
            await asyncio.sleep(POLL_S)
        return self.as_dict()

    def _part(self, node: str) -> str:
        state, consensus = self._agent.state, self._agent.consensus
        disk = state.disks.get(node)
        if disk is None:
            return "waits for its disk"
        if disk in consensus.voters:
            return "voter"
        return "learner" if disk in consensus.members else "not taken in yet"


def _named(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "").strip()
    if not value:
        raise RequestError("ValidationException", f"the parameter {name} is missing")
    return value


def _why_not(node: str, part: str) -> str:
    if part == "waits for its disk":
        return (
            f"{node} has not been started, or reaches no member: start it with all members as "
            "its peers (PACELINE_PEERS); it is taken in by itself then"
        )
    return (
        f"{node} does not have the whole log yet; it is promoted by itself once it has. Is it "
        "running, and is a majority of the voters connected?"
    )

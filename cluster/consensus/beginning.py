"""How a disk without a log comes to one: founds it with others, or waits to be taken in.

Drives ``founding``: asks the configured peers in turns, and makes what is promised durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog

from cluster.consensus.core.messages import Durable, HardState, Snapshot, founded
from cluster.consensus.founding import (
    Answer,
    Disks,
    Found,
    Founding,
    Introduction,
    Join,
    Outcome,
    Promise,
    Waits,
)
from cluster.consensus.interface import NotAccepted, OnIntroduced, Welcome

_log = structlog.get_logger()

ROUND_S = 0.2
"""The pause between two rounds of questions."""

Ask = Callable[[str, str, Introduction], Awaitable[Answer | None]]
"""Introduces this disk to a node, by its id and address. None if no answer came, within a deadline
of its own."""

Keep = Callable[[Disks], Awaitable[None]]
"""Makes a promise durable."""


class Beginning:
    """``peers``: node id to address of every node that may know of the log, this one included.
    ``promised``: what this disk promised before."""

    def __init__(
        self,
        node_id: str,
        disk: str,
        cluster: str,
        peers: Mapping[str, str],
        promised: Disks | None,
        ask: Ask,
        keep: Keep,
    ) -> None:
        self._founding = Founding(node_id, disk, cluster, tuple(peers), promised)
        self._others = {peer: address for peer, address in peers.items() if peer != node_id}
        self._ask = ask
        self._keep = keep
        self._told: str | None = None
        self.waits_for: str | None = None
        """In a sentence for the operator; None: for nothing."""

    @property
    def introduction(self) -> Introduction:
        return self._founding.introduction

    @property
    def promised(self) -> Disks | None:
        return self.introduction.promised

    def answer(self, other: Introduction, welcome: OnIntroduced | None) -> Answer:
        """To a node, authenticated as ``other.node``, whose disk is in no log yet. ``welcome`` is
        None as long as this one's is in none either."""
        me = self.introduction
        if welcome is None:
            return Answer(me, Welcome())
        me = replace(me, founded=me.promised or {})
        if other.cluster != me.cluster:
            return Answer(me, Welcome())
        return Answer(me, welcome(other.node, other.disk))

    async def run(self) -> Durable:
        """Returns what the log begins with here. Raises NotAccepted. It has no deadline: the other
        founders may be started by hand."""
        while True:
            begin = await self._round()
            if begin is not None:
                self.waits_for = None
                return begin
            if self.waits_for != self._told:
                self._told = self.waits_for
                _log.info("no log yet", reason=self.waits_for)
            await asyncio.sleep(ROUND_S)

    async def _round(self) -> Durable | None:
        introduction = self.introduction
        answers = await asyncio.gather(
            *(self._ask(peer, address, introduction) for peer, address in self._others.items())
        )
        outcome: Outcome = self._founding.outcome()
        for answer in answers:
            if answer is None:
                continue
            if answer.welcome.refusal:
                raise NotAccepted(answer.welcome.refusal)
            heard = self._founding.hear(answer.introduction)
            if isinstance(heard, Found):
                return founded(tuple(heard.disks.values()))
            if not isinstance(outcome, Join):  # that there is a log counts for more
                outcome = heard
            if answer.welcome.accepted:
                # Who promised is a founder, and begins as those did, whoever of them is heard.
                if self.promised is not None:
                    return founded(tuple(self.promised.values()))
                return Durable(HardState(), Snapshot())
        return await self._follow(outcome)

    async def _follow(self, outcome: Outcome) -> Durable | None:
        match outcome:
            case Found(disks):
                return founded(tuple(disks.values()))
            case Promise(disks):
                await self._keep(disks)
                self._founding.promise(disks)
                return await self._follow(self._founding.outcome())
            case Join():
                self.waits_for = "this disk waits to be taken in by the cluster"
            case Waits(reason):
                self.waits_for = reason
        return None

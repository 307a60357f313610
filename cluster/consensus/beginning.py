"""How a disk without a log comes to one: founds it with others, or waits to be taken in.

Drives ``founding``: asks the configured peers in turns, and makes what is promised durable. A disk
that has a log asks, too, while it hears from no leader: if its node was removed, or has another
disk by now, nobody else would tell it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import structlog

from cluster.consensus.core.messages import Durable, HardState, Snapshot, founded
from cluster.consensus.founding import (
    UNTOLD,
    Answer,
    BeginLog,
    Disks,
    Founding,
    Introduction,
    Join,
    Outcome,
    Promise,
    Waits,
    Welcome,
)
from cluster.consensus.interface import NotAccepted, OnIntroduced, Peer

_log = structlog.get_logger()

ROUND_S = 0.2
"""The pause between two rounds of questions."""

LOST_S = 3.0
"""The time without a leader after which a disk that has a log asks for it."""

LOST_ROUND_S = 1.0

REFUSALS = 5
"""The rounds in a row in which a node refuses before that is believed: a leader that was deposed a
moment ago does not know it yet, nor who was admitted since."""

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
        self._known: dict[str, str] = {}
        """Node id to address by the log, which may differ from the configured one."""
        self._ask = ask
        self._keep = keep
        self._told: str | None = None
        self._admissions: dict[str, int] = {}
        """By node, the number of this node's admission to the log, as it told that last."""
        self._refusals: dict[str, int] = {}
        """By node, the number of rounds in a row in which it has refused this disk."""
        self.waits_for: str | None = None
        """What this disk waits for, in a sentence for the operator; None: for nothing."""

    @property
    def introduction(self) -> Introduction:
        return self._founding.introduction

    @property
    def promised(self) -> Disks | None:
        return self.introduction.promised

    def answer(self, other: Introduction, welcome: OnIntroduced | None) -> Answer:
        """To a node, authenticated as ``other.node``, that looks for the log. ``welcome`` is None
        as long as this one's disk is in none."""
        me = self.introduction
        if welcome is None:
            return Answer(me, Welcome())
        if other.cluster != me.cluster:
            return Answer(replace(me, founded=me.promised or {}), Welcome())
        said = welcome(other)
        return Answer(replace(me, founded=me.promised or said.founders), said)

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

    def know_peers(self, peers: Mapping[str, Peer]) -> None:
        """Takes the members by node id, as the log has them."""
        me = self.introduction.node
        self._known = {node: peer.address for node, peer in peers.items() if node != me}

    async def stay_known(self, is_level: Callable[[], bool]) -> None:
        """Introduces the disk, which has a log, to all members again whenever it is lost. Never
        returns; raises NotAccepted."""
        lost_s = 0.0
        while True:
            await asyncio.sleep(LOST_ROUND_S)
            lost_s = 0.0 if is_level() else lost_s + LOST_ROUND_S
            if lost_s < LOST_S:
                self._refusals.clear()
            else:
                mine = replace(self.introduction, founded=self.promised or {})
                by_settings, by_log = await asyncio.gather(
                    self._ask_all(self._others, mine), self._ask_all(self._known, mine)
                )
                self._refused({**by_settings, **{n: a for n, a in by_log.items() if a}})

    async def _ask_all(
        self, others: Mapping[str, str], mine: Introduction | None = None
    ) -> dict[str, Answer | None]:
        mine = self.introduction if mine is None else mine
        told = self._admissions
        asked = (
            self._ask(node, at, replace(mine, admission=told.get(node, UNTOLD)))
            for node, at in others.items()
        )
        answers = dict(zip(others, await asyncio.gather(*asked), strict=True))
        told.update({node: a.welcome.admission for node, a in answers.items() if a is not None})
        return answers

    async def _round(self) -> Durable | None:
        answers = await self._ask_all(self._others)
        if refused := self._refused(answers):
            self.waits_for = refused
            return None
        exists: Outcome | None = None
        for peer, answer in answers.items():
            if answer is None:
                self._founding.unheard(peer)
                continue
            heard = self._founding.hear(answer.introduction)
            if isinstance(heard, BeginLog):
                return founded(tuple(heard.disks.values()))
            if isinstance(heard, Join) and answer.welcome.accepted:
                return Durable(HardState(), Snapshot())
            if answer.introduction.founded is not None:
                exists = heard
        return await self._follow(exists or self._founding.outcome())

    def _refused(self, answers: Mapping[str, Answer | None]) -> str:
        """Returns who refuses this disk, for the operator; empty if nobody does. Raises
        NotAccepted once that is certain."""
        found = {
            peer: answer.welcome.refusal
            for peer, answer in answers.items()
            if answer is not None and answer.welcome.refusal
        }
        self._refusals = {peer: self._refusals.get(peer, 0) + 1 for peer in found}
        for peer, refusal in found.items():
            if self._refusals[peer] >= REFUSALS:
                raise NotAccepted(refusal)
        return "; ".join(f"{peer} refuses this disk: {why}" for peer, why in found.items())

    async def _follow(self, outcome: Outcome) -> Durable | None:
        match outcome:
            case BeginLog(disks):
                return founded(tuple(disks.values()))
            case Promise(disks):
                await self._keep(disks)
                self._founding.promise(disks)
                return await self._follow(self._founding.outcome())
            case Join(reason) | Waits(reason):
                self.waits_for = reason
        return None

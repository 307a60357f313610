"""Samples cached items and compares what every node would answer with DynamoDB."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from cluster.coherence.guard import Guard
from cluster.log.view import Member
from cluster.service.metrics import Counter, LabelledCounter, LabelledGauge, Series
from cluster.transport.large_work import INLINE_VALUES_MAX, free
from node.audit.judging import (
    CachedAnswer,
    Content,
    Finding,
    Served,
    Silent,
    content_of,
    doubtful,
    judge,
)
from node.audit.ledger import Ledger
from node.audit.peeking import Peeked, Peers
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from node.values.size import holds_more
from paceline.clock import utc_now
from paceline.dax.keys import decode_key
from paceline.errors import PacelineError
from paceline.types import Key, Params

_log = structlog.get_logger()

IDLE_S = 1.0
"""The time between looks at whether this node is primary by now, and whether anything is cached."""

IDLE_MAX_S = 8.0
"""Of a primary in whose cluster nothing is cached, the pause doubles up to this."""

READ_S = 1.0
"""The time for one read of DynamoDB, its repeats included."""

VALUE_STEPS = 8
"""A value is decoded, normalized, told and freed: that many times what it takes elsewhere."""
INLINE_IMAGES_MAX = 1024
"""Cached items with so many bytes in all are looked at on the loop: values may have one byte."""

TROUBLE_FIRST_S = 1.0
TROUBLE_MAX_S = 60.0
"""The longest pause after DynamoDB refused or did not answer a read. The pause doubles with each
failure in a row: a table that is short of capacity has better uses for it."""

LOG_EVERY_S = 60.0
"""Of several disagreements in this time only the first is logged in full, because a writer outside
the cluster may cause one with every sample. All are counted."""


@dataclass(frozen=True, slots=True)
class DisagreeingNode:
    """A node that would have answered with something else than what DynamoDB has."""

    node: str
    cached: str
    """``item`` or ``absent``."""
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """``key_sha256``: of the canonical key, its first 16 digits. Keys may be personal data."""

    at: str
    table: str
    key_sha256: str
    dynamodb: str
    """``item`` or ``absent``."""
    nodes: tuple[DisagreeingNode, ...]


class Auditor:
    """Samples and judges; one per node. It samples only while its node is primary, whose Guard
    knows of every write.

    ``primary`` says whether it is. ``members`` are the nodes to ask.
    """

    def __init__(
        self,
        reads_per_s: float,
        primary: Callable[[], bool],
        members: Callable[[], Sequence[Member]],
        peers: Peers,
        guard: Guard,
        upstream: Upstream,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._reads_per_s = reads_per_s
        self._primary = primary
        self._members = members
        self._peers = peers
        self._guard = guard
        self._backend = upstream.backend
        self._tables = upstream.tables
        self._lists = upstream.lists
        self._large_work = upstream.large_work
        self._clock = clock
        self._rng = rng
        self.ledger = Ledger()
        self.reads = 0
        """The number of reads of DynamoDB, without repeats."""
        self.last: Disagreement | None = None
        self._logged_at = float("-inf")

    # -- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Samples until it is cancelled."""
        trouble_s, idle_s = TROUBLE_FIRST_S, IDLE_S
        while True:
            begun = self._clock()
            reads = self.reads
            try:
                primary = self._primary()
                sampled = primary and await self.sample()
                trouble_s = TROUBLE_FIRST_S
            except Exception as error:
                # Whatever it is: a look at the caches must not end the node that has them.
                _log_trouble(error, trouble_s)
                await asyncio.sleep(trouble_s)
                trouble_s = min(2 * trouble_s, TROUBLE_MAX_S)
                continue
            self._large_work.holds_nothing()
            pause_s = max(self.reads - reads, 1) / self._reads_per_s
            if not sampled:
                pause_s = max(pause_s, idle_s)
            idle_s = min(2 * idle_s, IDLE_MAX_S) if primary and not sampled else IDLE_S
            await asyncio.sleep(max(begun + pause_s - self._clock(), 0))

    async def sample(self) -> bool:
        """Judges and records one key. Returns False if no node has anything cached.

        Raises PacelineError when DynamoDB does not answer; nothing is recorded then.
        """
        members = tuple(self._members())
        key = await self._draw(members)
        if key is None:
            return False
        table = await self._tables.schema(key[0])
        stamp = self._guard.stamp(key, self._clock())
        if stamp is None:
            self.ledger.record(
                dict.fromkeys((m.id for m in members), Finding.INCONCLUSIVE), self._clock()
            )
            return True
        first = await self._read(table, key)
        answers = await self._ask(members, table, key)
        same = not doubtful(first, answers) or await self._read(table, key) == first
        now = self._clock()
        undisturbed = same and self._guard.stamp(key, now) == stamp
        findings = judge(first, answers, undisturbed=undisturbed)
        self.ledger.record(findings, now)
        accused = [node for node, finding in findings.items() if finding is Finding.DISAGREE]
        if accused:
            self._report(key, first, {node: answers[node] for node in accused}, now)
        return True

    async def _draw(self, members: Sequence[Member]) -> Key | None:
        """Returns a key that some node has cached. The nodes are asked in random order, so that an
        item that only one of them has is found, too."""
        for member in self._rng.sample(members, len(members)):
            key = await self._peers.draw(member)
            if key is not None:
                return key
        return None

    async def _read(self, table: TableInfo, key: Key) -> Content:
        """Returns DynamoDB's own answer. The read neither fills a cache nor counts as anybody's
        read."""
        self.reads += 1
        params: Params = {
            "TableName": key[0],
            "Key": decode_key(table.schema, key[1]),
            "ConsistentRead": True,
        }
        result = await self._backend.read("GetItem", params, self._clock() + READ_S)
        names = table.schema.names
        large = holds_more(result, INLINE_VALUES_MAX // VALUE_STEPS)
        content = await self._large_work.run_if(
            large, lambda: content_of(result.get("Item"), names)
        )
        if large:
            self._large_work.let_go([result])
        return content

    async def _ask(
        self, members: Sequence[Member], table: TableInfo, key: Key
    ) -> dict[str, CachedAnswer]:
        peeked = await asyncio.gather(*(self._peers.peek(member, key) for member in members))

        def answers() -> dict[str, CachedAnswer]:
            return {
                member.id: self._answer(each, table)
                for member, each in zip(members, peeked, strict=True)
            }

        images = [each.image.item for each in peeked if each is not None and each.image is not None]
        large = sum(len(image) for image in images if image is not None) > INLINE_IMAGES_MAX
        return await self._large_work.run_if(large, answers)

    def _answer(self, peeked: Peeked | None, table: TableInfo) -> CachedAnswer:
        if peeked is None:
            return Silent.NO_ANSWER
        if peeked.image is None:
            return Silent.NOT_CACHED
        item = peeked.image.item
        try:
            decoded = None if item is None else self._lists.decode(item)
        except PacelineError:
            return Silent.NO_ANSWER  # an attribute list that this node's log does not have yet
        held: list[object] = [decoded]
        content = content_of(decoded, table.schema.names)
        del decoded
        free(held)
        return Served(content, peeked.age_s)

    # -- what came of it --------------------------------------------------------------------

    def _report(
        self, key: Key, truth: Content, answers: dict[str, CachedAnswer], now: float
    ) -> None:
        self.last = Disagreement(
            at=utc_now().isoformat(timespec="milliseconds"),
            table=key[0],
            key_sha256=hashlib.sha256(key[1]).hexdigest()[:16],
            dynamodb=_state(truth),
            nodes=tuple(
                DisagreeingNode(
                    node,
                    _state(answer.content),
                    None if answer.age_s is None else round(answer.age_s, 3),
                )
                for node, answer in answers.items()
                if isinstance(answer, Served)
            ),
        )
        if now - self._logged_at < LOG_EVERY_S:
            return
        self._logged_at = now
        _log.error(
            "a cached answer differs from DynamoDB: either somebody writes to the table past the "
            "cluster, or there is a bug; docs/auditor.md says how to tell",
            disagreements=self.ledger.since_start.disagreements,
            **asdict(self.last),
        )
        _log.debug("the key that differs", table=key[0], key=key[1].hex())

    def as_dict(self) -> dict[str, Any]:
        """For ``/status``."""
        return {
            "reads_per_s": self._reads_per_s,
            "reads": self.reads,
            "hour": self.ledger.window(self._clock()).as_dict(),
            "since_start": self.ledger.since_start.as_dict(),
            "last_disagreement": None if self.last is None else asdict(self.last),
        }

    def series(self) -> Iterable[Series]:
        """For ``/metrics``."""
        return (
            LabelledCounter(
                "audit_samples",
                "Sampled keys by node and by what its cached answer was found to be",
                ("node", "result"),
                lambda: (
                    ((node, finding.value), count) for node, finding, count in self.ledger.counts()
                ),
            ),
            LabelledGauge(
                "audit_agreement_nines",
                "Agreement of cached answers with DynamoDB that the samples prove",
                ("window",),
                lambda: (
                    (("hour",), self.ledger.window(self._clock()).nines),
                    (("start",), self.ledger.since_start.nines),
                ),
            ),
            Counter("audit_reads", "Reads of DynamoDB by the auditor", lambda: self.reads),
        )


def _state(content: Content) -> str:
    return "absent" if content is None else "item"


def _log_trouble(error: Exception, pause_s: float) -> None:
    if isinstance(error, PacelineError):
        _log.info("the auditor pauses", reason=str(error), pause_s=pause_s)
    else:
        _log.exception("the auditor failed, it goes on after a pause", pause_s=pause_s)

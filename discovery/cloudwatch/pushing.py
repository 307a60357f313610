"""Sends the cluster's metrics to a CloudWatch of somebody else's, AWS's for one, where a setting
says so."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import structlog

from cluster.log import commands as c
from cluster.roster.control_feed import Told
from cluster.settings import DiscoverySettings
from discovery.watch.history import History
from discovery.watch.pushes import RECORD, Pushing, Turn, batches, data_of
from paceline.errors import Unavailable

LATE_S: Final = 15
"""Values of a time are here so long after it."""
EARLY_S: Final = 0.05
"""A timer may be early, but by less."""
CLAIM_S: Final = 5.0
CLAIMS: Final = 3
"""Attempts: any other change of the control plane's records may come first."""
ATTEMPTS: Final = 3
"""For one request, botocore's pauses between them."""
ANSWER_S: Final = 10.0

_log = structlog.get_logger()

Work = Callable[[Callable[[], Any]], Awaitable[Any]]
Client = AbstractAsyncContextManager[Any]


class Feed(Protocol):
    """As ``ControlFeed``."""

    told: Told | None

    async def change(self, command: c.ChangeControl, timeout_s: float) -> tuple[int, str]: ...


class Pusher:
    """One per discovery process. ``open_client``: an aiobotocore client of CloudWatch."""

    def __init__(
        self,
        settings: DiscoverySettings,
        feed: Feed,
        history: History,
        work: Work,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        open_client: Callable[[DiscoverySettings], Client],
    ) -> None:
        self._settings = settings
        self._namespace = settings.push_namespace
        self._interval_s = settings.push_interval_s
        self._feed = feed
        self._history = history
        self._work = work
        self._clock = clock
        self._wall_clock = wall_clock
        self._open_client = open_client
        self._me = secrets.token_hex(8)
        self._turn = Turn(self._me, self._interval_s)
        self._trouble = ""
        """What was said last."""

    async def run(self) -> None:
        """Until it is cancelled."""
        async with self._open_client(self._settings) as client:
            while True:
                due = self._until() + self._interval_s + LATE_S
                await asyncio.sleep(due - self._wall_clock() + EARLY_S)
                await self.round(client)

    async def round(self, client: Any) -> None:
        """Takes what is this process's to take, and sends it."""
        span = await self._claimed(self._until())
        if span is None:
            return

        def made() -> list[Any]:
            data = data_of(self._read, self._settings.cluster, span, self._interval_s)
            return list(batches(data))

        try:
            for batch in await self._work(made):
                await client.put_metric_data(Namespace=self._namespace, MetricData=batch)
        except Exception as error:
            # Whatever it is, it is AWS's, its credentials' or the network's: nothing here ends.
            self._say(str(error))
        else:
            if self._trouble:
                _log.info("metrics are pushed again", namespace=self._namespace)
            self._trouble = ""

    def _until(self) -> int:
        """The end of the last interval of which all values are here."""
        return int((self._wall_clock() - LATE_S) // self._interval_s) * self._interval_s

    def _read(self, metric: str, start: float, end: float) -> Any:
        return self._history.read(metric, start, end, None, "")

    async def _claimed(self, until: int) -> tuple[int, int] | None:
        for _ in range(CLAIMS):
            told = self._feed.told
            if told is None:
                return None  # without a log nobody knows who else pushes
            span = self._turn.span(told.records.by_name.get(RECORD), until, self._clock())
            if span is None:
                return None
            record = Pushing(self._me, until).to_bytes()
            command = c.ChangeControl(
                secrets.token_hex(16), told.records.revision, {RECORD: record}
            )
            try:
                revision, why = await self._feed.change(command, CLAIM_S)
            except Unavailable as error:
                self._say(str(error))  # it may be ours, and is left to nobody
                return None
            if revision:
                return span
            await asyncio.sleep(CLAIM_S / 10)  # until the change that was first is told here
        self._say(why)
        return None

    def _say(self, trouble: str) -> None:
        """Once, until it is another one: AWS would be said to refuse every minute."""
        if trouble != self._trouble:
            _log.warning("metrics are not pushed", namespace=self._namespace, reason=trouble)
        self._trouble = trouble


def aws_client(settings: DiscoverySettings) -> Client:
    """With the credentials that AWS's own tools would find."""
    # Most discovery processes push nothing, and need not load it.
    from aiobotocore.config import AioConfig  # noqa: PLC0415
    from aiobotocore.session import get_session  # noqa: PLC0415

    made: Client = get_session().create_client(
        "cloudwatch",
        region_name=settings.push_region or settings.region,
        endpoint_url=settings.push_endpoint or None,
        config=AioConfig(
            connect_timeout=ANSWER_S,
            read_timeout=ANSWER_S,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        ),
    )
    return made

"""Puts together what becomes of the nodes' metrics: a history, who fills it, and CloudWatch's API
in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cluster.roster.live_roster import LiveRoster
from cluster.service.authentication import Authentication
from cluster.service.lifecycle import Lifecycle
from cluster.settings import DiscoverySettings
from cluster.transport.member_channels import MemberChannels
from discovery.cloudwatch.reading import Reading
from discovery.cloudwatch.service import CloudWatch, Operations
from discovery.services.callers import ServiceCallers
from discovery.watch.history import History
from discovery.watch.scraper import Scraper
from paceline.clock import now, wall_time


class HistoryThread:
    """The one thread on which the history is used."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "history")

    async def run(self, do: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, do)

    async def aclose(self, history: History) -> None:
        await self.run(history.close)
        self._pool.shutdown(wait=False)


def join_watch(
    lifecycle: Lifecycle,
    settings: DiscoverySettings,
    access: Authentication,
    callers: ServiceCallers | None,
    live_roster: LiveRoster,
    channels: MemberChannels,
) -> CloudWatch:
    """ConfigError for a history that cannot be kept where it shall be."""
    thread = HistoryThread()
    history = History(settings.metrics_file)
    lifecycle.push("history", lambda: thread.aclose(history))
    scraper = Scraper(live_roster, channels, history, thread.run, now, wall_time)
    lifecycle.spawn("metrics", scraper.run())
    account = settings.access.account
    operations = operations_of(history, settings.cluster, settings.region, account, wall_time)
    return CloudWatch(
        operations,
        callers,
        access.refusals,
        wall_time,
        thread.run,
        authorizes=settings.access.authorization != "off",
    )


def operations_of(
    history: History, cluster: str, region: str, account: str, clock: Callable[[], float]
) -> Operations:
    """``region``, ``account``: as ARNs name them."""
    reading = Reading(history, cluster, clock)

    def anything(_: Any) -> list[str]:
        return ["*"]

    return {
        "GetMetricStatistics": (reading.get_metric_statistics, anything),
        "GetMetricData": (reading.get_metric_data, anything),
        "ListMetrics": (reading.list_metrics, anything),
    }

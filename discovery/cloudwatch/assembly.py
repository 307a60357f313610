"""Puts together what becomes of the nodes' metrics: a history, who fills it, and CloudWatch's API
in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cluster.roster.live_roster import LiveRoster
from cluster.service.authentication import Authentication
from cluster.service.lifecycle import Lifecycle
from cluster.settings import DiscoverySettings
from cluster.transport.member_channels import MemberChannels
from discovery.cloudwatch.acting import Actions
from discovery.cloudwatch.alarming import Alarms
from discovery.cloudwatch.dashboards import Dashboards
from discovery.cloudwatch.pushing import Feed, Pusher, aws_client
from discovery.cloudwatch.reading import Reading
from discovery.cloudwatch.service import CloudWatch, Operations
from discovery.services.callers import ServiceCallers
from discovery.watch.history import History
from discovery.watch.scraper import Scraper, Source
from paceline.clock import now, wall_time

Params = Mapping[str, Any]


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
    beside: Callable[[], Sequence[Source]],
    records: Feed,
) -> CloudWatch:
    """``beside``: the further clusters; ``records``: the control plane's. ConfigError for a
    history that cannot be kept where it shall be."""
    thread = HistoryThread()
    history = History(settings.metrics_file)
    lifecycle.push("history", lambda: thread.aclose(history))
    actions = Actions(settings.alarm_webhook, settings.alarm_command, settings.cluster)
    watched = watched_of(history, settings.cluster, settings.region, settings.access.account)
    watched.alarms.told = actions.tell
    scraper = Scraper(live_roster, channels, history, thread.run, now, wall_time, beside)
    scraper.after = lambda: thread.run(watched.alarms.evaluate)
    lifecycle.spawn("metrics", scraper.run())
    lifecycle.spawn("alarms' actions", actions.run())
    if settings.push_namespace:
        pusher = Pusher(settings, records, history, thread.run, now, wall_time, aws_client)
        lifecycle.spawn("pushed metrics", pusher.run())
    return CloudWatch(
        watched.operations(),
        callers,
        access.refusals,
        wall_time,
        thread.run,
        authorizes=settings.access.authorization != "off",
    )


@dataclass(frozen=True, slots=True)
class Watched:
    """All that operations are about."""

    reading: Reading
    alarms: Alarms
    dashboards: Dashboards

    def operations(self) -> Operations:
        """By name, each with what tells which resources it is about."""
        reading, alarms, boards = self.reading, self.alarms, self.dashboards

        def anything(_: Params) -> list[str]:
            return []

        def one(asked: Params) -> list[str]:
            return alarms.arns([asked["AlarmName"]]) if "AlarmName" in asked else anything(asked)

        def named(asked: Params) -> list[str]:
            return alarms.arns(asked.get("AlarmNames") or ["*"])

        def tagged(asked: Params) -> list[str]:
            return [asked["ResourceARN"]]

        def board(asked: Params) -> list[str]:
            return boards.arns([asked["DashboardName"]])

        def several(asked: Params) -> list[str]:
            return boards.arns(asked["DashboardNames"])

        return {
            "GetMetricStatistics": (reading.get_metric_statistics, anything),
            "GetMetricData": (reading.get_metric_data, anything),
            "ListMetrics": (reading.list_metrics, anything),
            "PutMetricAlarm": (alarms.put_metric_alarm, one),
            "SetAlarmState": (alarms.set_alarm_state, one),
            "DescribeAlarmHistory": (alarms.describe_alarm_history, one),
            "DescribeAlarms": (alarms.describe_alarms, named),
            "DescribeAlarmsForMetric": (alarms.describe_alarms_for_metric, anything),
            "DeleteAlarms": (alarms.delete_alarms, named),
            "EnableAlarmActions": (alarms.enable_alarm_actions, named),
            "DisableAlarmActions": (alarms.disable_alarm_actions, named),
            "TagResource": (alarms.tag_resource, tagged),
            "UntagResource": (alarms.untag_resource, tagged),
            "ListTagsForResource": (alarms.list_tags_for_resource, tagged),
            "PutDashboard": (boards.put_dashboard, board),
            "GetDashboard": (boards.get_dashboard, board),
            "ListDashboards": (boards.list_dashboards, anything),
            "DeleteDashboards": (boards.delete_dashboards, several),
        }


def watched_of(
    history: History,
    cluster: str,
    region: str,
    account: str,
    clock: Callable[[], float] = wall_time,
) -> Watched:
    """``region``, ``account``: as ARNs name them."""
    alarm = f"arn:aws:cloudwatch:{region}:{account}:alarm:"
    dashboard = f"arn:aws:cloudwatch::{account}:dashboard/"
    return Watched(
        Reading(history, cluster, clock),
        Alarms(history, cluster, alarm, clock),
        Dashboards(history, dashboard, clock),
    )

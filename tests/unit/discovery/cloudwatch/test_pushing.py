"""What is pushed to a CloudWatch elsewhere: by one process, once, and as AWS takes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from aiohttp import web

from cluster.log import commands as c
from cluster.log.control_records import ControlRecords
from cluster.roster.control_feed import Told
from cluster.settings import DiscoverySettings
from discovery.cloudwatch import protocols
from discovery.cloudwatch.models import service_model
from discovery.cloudwatch.pushing import LATE_S, Pusher, aws_client
from discovery.services.requests import ServiceRequest
from discovery.watch.catalogue import BY_NAME, METRICS
from discovery.watch.history import History
from discovery.watch.pushes import DATA_MAX, PATIENCE, Pushing, Turn, batches
from paceline.clock import now
from paceline.errors import Unavailable
from tests.support.waiting import until

BEGIN = 1_800_000_000 - 1_800_000_000 % 60
CLUSTER = "orders"
PUT = b'<PutMetricDataResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"/>'


class Log:
    """The cluster's log, as all discovery processes hear of it."""

    def __init__(self) -> None:
        self.records = ControlRecords({})
        self.known = True
        self.fails = False

    @property
    def told(self) -> Told | None:
        return Told("c", self.records, {}) if self.known else None

    async def change(self, command: c.ChangeControl, timeout_s: float) -> tuple[int, str]:
        if self.fails:
            raise Unavailable("no node was reached")
        revision, why = self.records.change(command)
        return revision, why


class Aws:
    """In the place of AWS: reads what comes by botocore's model."""

    def __init__(self) -> None:
        self.put: list[Mapping[str, Any]] = []
        self.refuses = ""
        self.url = ""
        self.asked = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        headers = tuple((k.lower().encode(), v.encode()) for k, v in request.headers.items())
        came = ServiceRequest("id", "POST", request.path_qs, headers, await request.read())
        told = protocols.asked_of(came)
        assert told.operation == "PutMetricData"
        parameters = told.parameters()  # Denied for what the model does not have
        if self.refuses:
            text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{self.refuses}</Code>"
            body = f"{text}<Message>no</Message></Error></ErrorResponse>"
            kind = {"x-amzn-query-error": f"{self.refuses};Sender"}
            if came.content_type == protocols.JSON:
                body = json.dumps({"__type": self.refuses, "message": "no"})
            return web.Response(status=403, text=body, headers=kind)
        self.put.append(parameters)
        return web.Response(body=b"{}" if came.content_type == protocols.JSON else PUT)


class Process:
    """One discovery process."""

    def __init__(self, log: Log, url: str, clock: list[float]) -> None:
        self.settings = DiscoverySettings(
            cluster=CLUSTER,
            push_namespace="Own/Orders",
            push_endpoint=url,
            push_interval_s=60,
            seeds=["127.0.0.1:1"],
        )
        self.history = History(None)

        async def work(do: Any) -> Any:
            return do()

        self.pusher = Pusher(
            self.settings,
            log,
            self.history,
            work,
            lambda: clock[0],
            lambda: clock[0],
            aws_client,
        )


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")


@asynccontextmanager
async def listening(aws: Aws) -> AsyncIterator[Aws]:
    app = web.Application()
    app.router.add_post("/{path:.*}", aws.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    aws.url = f"http://{host}:{port}"
    try:
        yield aws
    finally:
        await runner.cleanup()


async def test_one_process_pushes_each_minute_once_and_another_goes_on_where_it_is_gone() -> None:
    log, clock = Log(), [float(BEGIN)]
    async with listening(Aws()) as aws:
        one, two = Process(log, aws.url, clock), Process(log, aws.url, clock)
        async with aws_client(one.settings) as client:

            async def minute(*who: Process) -> None:
                for at in range(int(clock[0]), int(clock[0]) + 60, 10):
                    for process in (one, two):
                        values = {"ItemCacheHits": 2.0, "CPUUtilization": 40.0}
                        process.history.add(at, {"n1": values, "n2": values})
                        process.history.add(at, {"further/n1": values})
                clock[0] += 60
                clock[0] += LATE_S
                for process in who:
                    await process.pusher.round(client)
                clock[0] -= LATE_S

            await minute(one, two)
            await minute(two, one)
            assert len(aws.put) == 2
            hits = [of(put, "ItemCacheHits") for put in aws.put]
            assert hits == [
                [(float(BEGIN), 24.0, 2.0, "Count")],
                [(BEGIN + 60.0, 24.0, 2.0, "Count")],
            ]
            assert of(aws.put[0], "CPUUtilization") == [(float(BEGIN), 480.0, 12.0, "Percent")]
            assert aws.put[0]["Namespace"] == "Own/Orders"
            # The first is gone. The other one goes on, from where that stopped.
            for _ in range(PATIENCE + 1):
                await minute(two)
            times = [at for put in aws.put for at, *_ in of(put, "ItemCacheHits")]
            assert times == [BEGIN + 60.0 * place for place in range(2 + PATIENCE + 1)]
            # It comes back, and has to wait.
            await minute(one, two)
            assert Pushing.of(log.records.by_name["pushing"]) == Pushing(
                two.pusher._me, BEGIN + 60 * (PATIENCE + 4)
            )
        for process in (one, two):
            process.history.close()


def of(put: Mapping[str, Any], name: str) -> list[tuple[float, float, float, str]]:
    found = []
    for one in put["MetricData"]:
        assert one["Dimensions"] == [{"Name": "ClusterName", "Value": CLUSTER}]
        assert any(metric.unit == one["Unit"] for metric in METRICS)
        if one["MetricName"] == name:
            stats = one["StatisticValues"]
            assert stats["Minimum"] <= stats["Sum"] / stats["SampleCount"] <= stats["Maximum"]
            found.append((one["Timestamp"], stats["Sum"], stats["SampleCount"], one["Unit"]))
    return found


async def test_what_is_refused_is_said_once_and_not_repeated_for_ever() -> None:
    log, clock = Log(), [BEGIN + 60.0 + LATE_S]
    async with listening(Aws()) as aws:
        process = Process(log, aws.url, clock)
        aws.refuses = "AccessDenied"
        async with aws_client(process.settings) as client:

            async def rounds(count: int) -> list[str]:
                with structlog.testing.capture_logs() as logs:
                    for _ in range(count):
                        at = int(clock[0]) - LATE_S - 30
                        process.history.add(at, {"n1": {"CPUUtilization": 40.0}})
                        await process.pusher.round(client)
                        clock[0] += 60
                return [one["event"] for one in logs]

            assert await rounds(4) == ["metrics are not pushed"]
            assert aws.asked == 4
            aws.refuses = ""
            assert await rounds(2) == ["metrics are pushed again"]
            assert len(aws.put) == 2
            log.fails = True
            assert await rounds(3) == ["metrics are not pushed"]
            log.fails, log.known = False, False
            assert await rounds(1) == []
            assert aws.asked == 6
        process.history.close()


async def test_it_goes_on_by_itself_from_minute_to_minute() -> None:
    asked: list[float] = []

    def wall() -> float:
        """A twentieth of a second before what is 15 s after the minute, when it is first asked."""
        asked.append(now())
        return BEGIN + 60 + LATE_S - 0.05 + asked[-1] - asked[0]

    log, clock = Log(), [0.0]
    async with listening(Aws()) as aws:
        process = Process(log, aws.url, clock)
        process.pusher._wall_clock = wall
        process.history.add(BEGIN, {"n1": {"CPUUtilization": 40.0}})
        running = asyncio.create_task(process.pusher.run())
        await until(lambda: aws.put != [])
        assert of(aws.put[0], "CPUUtilization") == [(float(BEGIN), 40.0, 1.0, "Percent")]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        process.history.close()


def test_who_waits_does_so_by_a_clock_of_his_own() -> None:
    turn = Turn("me", 60)
    other = Pushing("other", 600).to_bytes()
    assert turn.span(None, 660, 0.0) == (600, 660)
    assert turn.span(other, 660, 1_000.0) is None
    assert turn.span(other, 840, 1_000.0 + 60 * PATIENCE - 1) is None
    assert turn.span(Pushing("other", 660).to_bytes(), 840, 1_200.0) is None
    assert turn.span(Pushing("other", 660).to_bytes(), 840, 1_379.0) is None
    assert turn.span(Pushing("other", 660).to_bytes(), 840, 1_380.0) == (660, 840)
    assert turn.span(Pushing("me", 840).to_bytes(), 840, 1_380.0) is None
    assert turn.span(Pushing("me", 0).to_bytes(), 6_000, 1_380.0) == (5_700, 6_000)
    assert turn.span(b"nonsense", 660, 0.0) == (600, 660)


def test_requests_are_as_large_as_aws_takes_them() -> None:
    sizes = [len(batch) for batch in batches(range(2 * DATA_MAX + 1))]
    assert sizes == [DATA_MAX, DATA_MAX, 1]
    units = service_model().shape_for("StandardUnit").enum
    assert all(metric.unit in units for metric in BY_NAME.values())


@pytest.mark.parametrize("name", ["a b", "x" * 256, "<"])
def test_a_namespace_that_aws_does_not_take_is_no_setting(name: str) -> None:
    with pytest.raises(ValueError, match="push_namespace"):
        DiscoverySettings(push_namespace=name, seeds=["127.0.0.1:1"])

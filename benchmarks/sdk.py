"""CPU per get_item of the SDK's clients and of the official Python client, in one run.

    python benchmarks/sdk.py [--rounds 8] [--calls 1500]

Starts a cluster of three nodes on loopback, or takes ``--endpoint dax://...`` and ``--table`` (hash
key ``id`` of type S, an item ``{"id": "bench"}`` is written). The clients take turns in short
rounds, so that whatever else the machine does meets all of them alike; the median of the rounds'
ratios counts. CPU is that of the whole process, user and system, roster threads included.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import uvloop
from amazondax import AmazonDaxClient

import paceline
from paceline.client.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.twins import keys

CREDENTIALS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "x",
    "aws_secret_access_key": "x",
}
VALUE_BYTES = 1000


@contextlib.contextmanager
def cluster() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as directory, Cluster(Path(directory)) as started:
        plain = boto3_client(started.dynamodb)
        plain.create_table(TableName="bench", BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
        plain.close()
        started.wait_serving()
        time.sleep(12)  # caches fill only after the quarantine of a new cluster
        yield started.dax, "bench"


def measured(calls: int, work: Callable[[int], None]) -> float:
    """Microseconds of CPU per call."""
    begun = time.process_time()
    work(calls)
    return (time.process_time() - begun) / calls * 1e6


def blocking(client: Any, params: dict[str, Any]) -> Callable[[int], None]:
    def work(calls: int) -> None:
        for _ in range(calls):
            client.get_item(**params)

    return work


class OnLoop:
    """An ``AsyncClient`` on a loop of its own, ``lanes`` requests at a time."""

    def __init__(self, endpoint: str, params: dict[str, Any], lanes: int, loop: Any) -> None:
        self._loop = loop
        self._lanes = lanes
        self._params = params
        settings = Settings(connections_max=max(64, lanes))
        self._client = paceline.AsyncClient(endpoint, settings=settings)

    def __call__(self, calls: int) -> None:
        self._loop.run_until_complete(self._work(calls))

    async def _work(self, calls: int) -> None:
        await asyncio.gather(*(self._lane(calls // self._lanes) for _ in range(self._lanes)))

    async def _lane(self, calls: int) -> None:
        for _ in range(calls):
            await self._client.get_item(**self._params)

    def close(self) -> None:
        self._loop.run_until_complete(self._client.close())
        self._loop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--endpoint")
    parser.add_argument("--table", default="bench")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--calls", type=int, default=1500)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        endpoint, table = arguments.endpoint, arguments.table
        if endpoint is None:
            endpoint, table = stack.enter_context(cluster())
        print(json.dumps(compare(stack, endpoint, table, arguments.rounds, arguments.calls)))


def compare(
    stack: contextlib.ExitStack, endpoint: str, table: str, rounds: int, calls: int
) -> dict[str, Any]:
    session = botocore.session.get_session()
    official = stack.enter_context(AmazonDaxClient(session, endpoint_url=endpoint, **CREDENTIALS))
    client = stack.enter_context(paceline.Client(endpoint))
    client.put_item(TableName=table, Item={"id": {"S": "bench"}, "v": {"S": "x" * VALUE_BYTES}})
    params = {"TableName": table, "Key": {"id": {"S": "bench"}}}
    works: dict[str, Callable[[int], None]] = {
        "amazon-dax-client": blocking(official, params),
        "paceline.Client": blocking(client, params),
    }
    for name, loop, lanes in (
        ("paceline.AsyncClient, 1 at a time", asyncio.new_event_loop(), 1),
        ("paceline.AsyncClient, 100 at a time", asyncio.new_event_loop(), 100),
        ("paceline.AsyncClient on uvloop, 1 at a time", uvloop.new_event_loop(), 1),
        ("paceline.AsyncClient on uvloop, 100 at a time", uvloop.new_event_loop(), 100),
    ):
        works[name] = on_loop = OnLoop(endpoint, params, lanes, loop)
        stack.callback(on_loop.close)
    for work in works.values():
        work(200)
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(measured(calls, work))
    medians = {name: statistics.median(times) for name, times in found.items()}
    base = found["amazon-dax-client"]
    ratios: dict[str, float] = {}
    for name, median in medians.items():
        each = sorted(ours / theirs for ours, theirs in zip(found[name], base, strict=True))
        ratios[name] = statistics.median(each)
        print(f"{name:48} {median:7.1f} us   {ratios[name]:5.2f} ({each[0]:.2f} to {each[-1]:.2f})")
    return {
        "cpu_us_per_get_item": medians,
        "ratio": ratios,
        "rounds": rounds,
        "calls": calls,
    }


if __name__ == "__main__":
    main()

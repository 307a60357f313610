"""Clients of a running stack: writers and readers in threads, and what they may conclude.

Each key has one writer, which counts upwards. So a read is fresh if it is no less than what was
acknowledged before it began, and no more than what had been sent when it ended.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

import paceline
from paceline.errors import NotSent, OutcomeUnknown, Unavailable
from tests.support.compose_access import Access
from tests.support.embedded import boto3_client
from tests.support.waiting import Background

TABLE = "Counters"
WRITERS = 4
PAUSE_S = 0.01
NOT_DONE = frozenset({"ThrottlingException"})
"""As the SDK tells of writes that were surely not sent."""

PROBE_EVERY_S = 0.1
_NOT_SENT = (NotSent, Unavailable, ClientError)
_numbers = itertools.count()


@dataclass
class Key:
    name: str
    sent: int = 0
    acknowledged: int = 0


@dataclass
class Watched:
    acknowledged: list[tuple[float, float]] = field(default_factory=list)
    """(begun, ended) of each acknowledged write."""
    unknown: int = 0
    not_sent: int = 0
    reads: int = 0
    read_failures: list[str] = field(default_factory=list)
    """Of the SDK's client, which may go to any node."""
    by_node: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Watching(Background):
    """``with``: writers and a reader by the SDK, and a reader per node by its HTTP API."""

    def __init__(
        self,
        discovery: tuple[str, ...],
        nodes: Mapping[str, str],
        dynamodb: str,
        access: Access,
    ) -> None:
        self._keys = [Key(f"key-{next(_numbers)}") for _ in range(WRITERS)]
        self._dynamodb = dynamodb
        self._lock = threading.Lock()
        self.seen = Watched()
        self._client = paceline.Client(
            endpoint_url=list(discovery), verify=str(access.ca), **access.options
        )
        super().__init__(
            partial(self._until_ended, work, *arguments)
            for work, *arguments in (
                *((self._write, key) for key in self._keys),
                (self._read,),
                *(
                    (self._read_at, node, access.boto3("dynamodb", url))
                    for node, url in nodes.items()
                ),
            )
        )

    def close(self) -> None:
        self._client.close()

    def time_until_writable_s(self, since: float, timeout_s: float = 60.0) -> float:
        """Seconds from ``since`` until a write is acknowledged that was begun after it.

        Begins one every ``PROBE_EVERY_S``, whatever becomes of those before: a write that a hung
        node has got ends with its client's patience, which says nothing of the cluster.
        """
        ends: list[float] = []
        lock = threading.Lock()

        def probe() -> None:
            key = Key(f"key-{next(_numbers)}")
            try:
                self._put(key, 1)
            except (OutcomeUnknown, *_NOT_SENT):
                return
            with lock:
                ends.append(time.monotonic())

        probes: list[threading.Thread] = []
        while not ends:
            assert time.monotonic() < since + timeout_s, f"no write within {timeout_s} s"
            probes.append(threading.Thread(target=probe, daemon=True))
            probes[-1].start()
            time.sleep(PROBE_EVERY_S)
        for thread in probes:
            thread.join(60)
        return min(ends) - since

    def wait_for_writes(self, count: int = 20, timeout_s: float = 60.0) -> None:
        """Until ``count`` more writes, begun from now on, are acknowledged."""
        since = time.monotonic()
        while sum(begun >= since for begun, _ in list(self.seen.acknowledged)) < count:
            assert self.seen.wrong == [], self.seen.wrong
            assert time.monotonic() < since + timeout_s, f"no {count} writes within {timeout_s} s"
            time.sleep(0.05)

    def wait_for_reads_at(self, node: str, count: int = 20, timeout_s: float = 60.0) -> None:
        since, before = time.monotonic(), self.seen.by_node.get(node, 0)
        while self.seen.by_node.get(node, 0) < before + count:
            assert self.seen.wrong == [], self.seen.wrong
            assert time.monotonic() < since + timeout_s, f"{node} answers no reads"
            time.sleep(0.05)

    def check(self) -> None:
        """After the end: nothing lost, nothing stale, no read refused."""
        assert self.seen.wrong == []
        assert self.seen.read_failures == []
        dynamodb = boto3_client(self._dynamodb)
        for key in self._keys:
            got = dynamodb.get_item(TableName=TABLE, Key=_id(key), ConsistentRead=True)
            value = int(got["Item"]["n"]["N"])
            assert key.acknowledged <= value <= key.sent, key
        dynamodb.close()

    # -- threads ----------------------------------------------------------------------------

    def _until_ended(self, work: Callable[..., None], *arguments: Any) -> None:
        while not self.ended.is_set():
            try:
                work(*arguments)
            except Exception as error:
                self.seen.wrong.append(f"{work.__name__}: {error!r}")
                return
            time.sleep(PAUSE_S)

    def _write(self, key: Key) -> None:
        key.sent += 1
        value, begun = key.sent, time.monotonic()
        try:
            self._put(key, value)
        except OutcomeUnknown:
            self.seen.unknown += 1
        except _NOT_SENT as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] not in NOT_DONE:
                raise
            self.seen.not_sent += 1
        else:
            key.acknowledged = value
            self.seen.acknowledged.append((begun, time.monotonic()))

    def _put(self, key: Key, value: int) -> None:
        self._client.put_item(
            TableName=TABLE,
            Item={**_id(key), "n": {"N": str(value)}},
            # A write of unknown outcome that lands later must not undo a newer one.
            ConditionExpression="attribute_not_exists(n) OR n < :new",
            ExpressionAttributeValues={":new": {"N": str(value)}},
        )

    def _read(self) -> None:
        for key in self._keys:
            least = key.acknowledged
            try:
                got = self._client.get_item(TableName=TABLE, Key=_id(key))
            except Exception as error:
                self.seen.read_failures.append(repr(error))
                continue
            self.seen.reads += 1
            self._judge("SDK", key, least, got)

    def _read_at(self, node: str, client: Any) -> None:
        for key in self._keys:
            least = key.acknowledged
            try:
                got = client.get_item(TableName=TABLE, Key=_id(key))
            except Exception:  # this node is the one that is killed, paused or cut off
                time.sleep(0.1)
                continue
            self.seen.by_node[node] = self.seen.by_node.get(node, 0) + 1
            self._judge(node, key, least, got)

    def _judge(self, reader: str, key: Key, least: int, got: Mapping[str, Any]) -> None:
        value = int(got["Item"]["n"]["N"]) if "Item" in got else 0
        if not least <= value <= key.sent:
            self.seen.wrong.append(
                f"{reader} read {value} of {key.name}: {least} was acknowledged before, "
                f"{key.sent} sent"
            )


def _id(key: Key) -> dict[str, Any]:
    return {"id": {"S": key.name}}

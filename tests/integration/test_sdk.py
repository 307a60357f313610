"""The SDK on a real cluster: whole sessions of applications, and nodes that die under them.

Where boto3 straight on the same DynamoDB can be asked the same, it says what is right.
"""

import asyncio
import gc
import multiprocessing
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ParamValidationError, WaiterError
from botocore.stub import Stubber

import paceline
from paceline.client.settings import RequestEvent, Settings
from paceline.errors import Unavailable
from tests.support.cluster import DISCOVERY, Cluster
from tests.support.embedded import boto3_client
from tests.support.stopwatch import Stopwatch
from tests.support.twins import keys
from tests.support.waiting import wait_until

TABLES = {"hash": keys(("id", "S")), "range": keys(("pk", "S"), ("sk", "N"))}
ROWS = [
    {"pk": "rows", "sk": Decimal(n), "v": Decimal(n * n), "tags": {"a", f"t{n}"}, "text": "x" * n}
    for n in range(60)
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("sdk")) as cluster:
        plain = boto3_client(cluster.dynamodb)
        for side in ("cached", "direct"):
            for name, schema in TABLES.items():
                plain.create_table(
                    TableName=f"{side}-{name}", BillingMode="PAY_PER_REQUEST", **schema
                )
        plain.close()
        cluster.wait_serving()
        yield cluster


@pytest.fixture(scope="module")
def plain(cluster: Cluster) -> Iterator[Any]:
    client = boto3_client(cluster.dynamodb)
    yield client
    client.close()


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Iterator[paceline.Client]:
    with paceline.Client(cluster.dax) as client:
        yield client


def grpc(cluster: Cluster) -> str:
    return f"paceline://{cluster.entry['discovery'][0]['grpc']}"


# -- boto3's interface -------------------------------------------------------------------------


def story(table: Any, resource: Any) -> list[Any]:
    """What an application may do with a resource, and what it is told."""
    name = table.name
    told: list[Any] = []
    with table.batch_writer(overwrite_by_pkeys=["pk", "sk"]) as batch:
        for row in ROWS[:30]:
            batch.put_item(Item=row)
        batch.put_item(Item={**ROWS[3], "v": Decimal("3.5")})
        batch.delete_item(Key={"pk": "rows", "sk": 7})
    told.append(table.get_item(Key={"pk": "rows", "sk": 3})["Item"])
    told.append("Item" in table.get_item(Key={"pk": "rows", "sk": 7}))
    mine = Key("pk").eq("rows")
    page = table.query(KeyConditionExpression=mine & Key("sk").between(2, 9), Limit=4)
    told += [page["Items"], page["LastEvaluatedKey"], page["Count"]]
    told.append(
        table.query(
            KeyConditionExpression=mine,
            FilterExpression=Attr("tags").contains("t9") | Attr("v").gt(700),
            ProjectionExpression="sk, tags",
        )["Items"]
    )
    told.append(
        table.update_item(
            Key={"pk": "rows", "sk": 4},
            UpdateExpression="SET v = v + :one, fresh = :list",
            ConditionExpression=Attr("v").eq(16) & Attr("nothing").not_exists(),
            ExpressionAttributeValues={":one": 1, ":list": [1, {"deep": None}, b"\x01"]},
            ReturnValues="ALL_NEW",
        )["Attributes"]
    )
    with pytest.raises(resource.meta.client.exceptions.ConditionalCheckFailedException) as caught:
        table.put_item(Item=ROWS[4], ConditionExpression=Attr("pk").not_exists())
    told.append({**caught.value.response, "ResponseMetadata": None})
    told.append(str(caught.value))
    with pytest.raises(TypeError) as wrong:
        table.put_item(Item={"pk": "rows", "sk": 1.5})
    told.append(str(wrong.value))
    found = resource.batch_get_item(
        RequestItems={name: {"Keys": [{"pk": "rows", "sk": n} for n in (1, 2, 7)]}}
    )
    told.append(sorted(found["Responses"][name], key=lambda row: row["sk"]))
    told.append(found["UnprocessedKeys"])
    told.append(table.delete_item(Key={"pk": "rows", "sk": 2}, ReturnValues="ALL_OLD"))
    told.append(sorted(row["sk"] for row in table.scan(FilterExpression=mine)["Items"]))
    for answer in told:
        if isinstance(answer, dict):
            answer.pop("ResponseMetadata", None)
    return told


def test_a_resource_tells_what_boto3_tells(cluster: Cluster) -> None:
    direct = boto3.resource(
        "dynamodb",
        endpoint_url=cluster.dynamodb,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    right = story(direct.Table("direct-range"), direct)
    direct.meta.client.close()
    with paceline.resource(cluster.dax) as cached:
        assert story(cached.Table("cached-range"), cached) == right
        assert paceline.resource is paceline.resource, "not shadowed by a module"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("get_item", {}),
        ("get_item", {"TableName": "cached-hash", "Key": {"id": {"S": 1}}}),
        ("get_item", {"TableName": "cached-hash", "Key": {"id": "x"}}),
        ("put_item", {"TableName": "cached-hash", "Item": {"id": {"S": "x"}}, "Nonsense": 1}),
        ("query", {"TableName": "cached-range", "Limit": "ten"}),
    ],
)
def test_parameters_are_validated_in_the_same_words(
    client: paceline.Client, plain: Any, method: str, params: dict[str, Any]
) -> None:
    with pytest.raises(ParamValidationError) as right:
        getattr(plain, method)(**params)
    with pytest.raises(ParamValidationError) as ours:
        getattr(client, method)(**params)
    assert str(ours.value) == str(right.value)


PAGED: list[dict[str, Any]] = [
    {},
    {"PaginationConfig": {"PageSize": 7}},
    {"PaginationConfig": {"MaxItems": 25, "PageSize": 10}},
    {"ProjectionExpression": "sk", "PaginationConfig": {"MaxItems": 20}},
]


@pytest.mark.parametrize("paged", PAGED, ids=range(len(PAGED)))
async def test_pages_are_boto3s(
    client: paceline.Client, cluster: Cluster, plain: Any, paged: dict[str, Any]
) -> None:
    row = {"pk": {"S": "pages"}, "text": {"S": "x" * 100}}
    for name in ("cached-range", "direct-range"):
        target: Any = client if name.startswith("cached") else plain
        for start in range(0, 50, 25):
            target.batch_write_item(
                RequestItems={
                    name: [
                        {"PutRequest": {"Item": {**row, "sk": {"N": str(n)}}}}
                        for n in range(start, start + 25)
                    ]
                }
            )
    asked = {
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "pages"}},
        **paged,
    }

    def stripped(page: dict[str, Any]) -> dict[str, Any]:
        return {name: page[name] for name in page if name != "ResponseMetadata"}

    right = plain.get_paginator("query").paginate(TableName="direct-range", **asked)
    pages = [stripped(page) for page in right]
    ours = client.get_paginator("query").paginate(TableName="cached-range", **asked)
    assert [stripped(page) for page in ours] == pages
    again = plain.get_paginator("query").paginate(TableName="direct-range", **asked)
    full = stripped(again.build_full_result())
    async with paceline.AsyncClient(cluster.dax) as waiting:
        assert waiting.can_paginate("scan")
        assert not waiting.can_paginate("get_item")
        paginator = waiting.get_paginator("query")
        found = [p async for p in paginator.paginate(TableName="cached-range", **asked)]
        assert [stripped(page) for page in found] == pages
        complete = await paginator.paginate(TableName="cached-range", **asked).build_full_result()
        assert {**complete, "NextToken": None} == {**full, "NextToken": None}
        if token := complete.get("NextToken"):
            config = {**asked["PaginationConfig"], "StartingToken": token}
            rest = paginator.paginate(
                TableName="cached-range", **{**asked, "PaginationConfig": config}
            )
            more = (await rest.build_full_result())["Items"]
            assert more[0] not in complete["Items"]


def test_tables_statements_and_waiters(cluster: Cluster, plain: Any) -> None:
    """What DAX's methods have no place for."""
    name = "cached-made"
    with paceline.resource(cluster.dax) as dynamodb:
        table = dynamodb.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST", **TABLES["hash"]
        )
        table.wait_until_exists()
        table.load()
        assert (table.item_count, table.table_status) == (0, "ACTIVE")
        table.put_item(Item={"id": "a", "n": 1})
        assert name in [found.name for found in dynamodb.tables.all()]
        client: paceline.Client = dynamodb.meta.client
        said = client.execute_statement(Statement=f'SELECT * FROM "{name}"')
        assert said["Items"] == [{"id": "a", "n": Decimal(1)}], "events turn values, here too"
        assert said["ResponseMetadata"]["HTTPHeaders"]["x-paceline-cache"] == "bypass"
        with pytest.raises(client.exceptions.ConditionalCheckFailedException) as caught:
            table.put_item(
                Item={"id": "a"},
                ConditionExpression=Attr("id").not_exists(),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        assert caught.value.response["Item"] == {"id": {"S": "a"}, "n": {"N": "1"}}
        assert table.get_item(Key={"id": "a"})["Item"]["n"] == 1
        client.execute_statement(
            Statement=f'UPDATE "{name}" SET n=? WHERE id=?', Parameters=[2, "a"]
        )
        assert table.get_item(Key={"id": "a"})["Item"]["n"] == 2, "the statement was fenced"
        table.delete()
        table.wait_until_not_exists()
        with pytest.raises(client.exceptions.ResourceNotFoundException) as gone:
            client.describe_table(TableName=name)
    with pytest.raises(plain.exceptions.ResourceNotFoundException) as right:
        plain.describe_table(TableName=name)
    for response in (gone.value.response, right.value.response):
        response.pop("ResponseMetadata")
    assert gone.value.response == right.value.response
    assert str(gone.value) == str(right.value)


async def test_waiting_for_tables(cluster: Cluster) -> None:
    async with paceline.AsyncClient(cluster.dax) as client:
        schema = TABLES["range"]
        await client.create_table(TableName="waited", BillingMode="PAY_PER_REQUEST", **schema)
        await client.get_waiter("table_exists").wait(TableName="waited")
        names = [
            name
            async for page in client.get_paginator("list_tables").paginate()
            for name in page["TableNames"]
        ]
        assert "waited" in names
        await client.delete_table(TableName="waited")
        brief = {"Delay": 0.01, "MaxAttempts": 2}
        with pytest.raises(WaiterError, match="Max attempts exceeded"):
            await client.get_waiter("table_exists").wait(TableName="waited", WaiterConfig=brief)
        with pytest.raises(ValueError, match="Waiter does not exist: nonsense"):
            client.get_waiter("nonsense")
        with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
            _ = client.nonsense


def test_events_and_the_stubber(client: Any, cluster: Cluster) -> None:
    told: list[Any] = []
    params = {"TableName": "cached-hash", "Key": {"id": {"S": "events"}}}
    with paceline.Client(cluster.dax, config=Config(region_name="eu-west-1")) as hooked:
        assert hooked.meta.region_name == "eu-west-1"

        def consistently(params: dict[str, Any], **_: Any) -> None:
            params["ConsistentRead"] = True

        def after(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
            told.append((http_response.status_code, "Item" in parsed))

        hooked.meta.events.register("before-parameter-build.dynamodb.GetItem", consistently)
        hooked.meta.events.register("after-call.dynamodb.*", after)
        hooked.get_item(**params)
        with pytest.raises(hooked.exceptions.ResourceNotFoundException):
            hooked.describe_table(TableName="none")
        assert told == [(200, False), (400, False)]
    with Stubber(client) as stubber:
        stubber.add_response("get_item", {"Item": {"id": {"S": "stub"}}}, params)
        stubber.add_client_error("put_item", "ProvisionedThroughputExceededException")
        assert client.get_item(**params)["Item"] == {"id": {"S": "stub"}}
        with pytest.raises(client.exceptions.ProvisionedThroughputExceededException):
            client.put_item(TableName="cached-hash", Item=params["Key"])
    assert "Item" not in client.get_item(**params)


# -- many at a time ----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["dax", "paceline"])
async def test_a_thousand_requests_at_a_time(cluster: Cluster, scheme: str) -> None:
    endpoint = cluster.dax if scheme == "dax" else grpc(cluster)
    events: list[RequestEvent] = []
    patient = Settings(attempt_s=10.0, read_deadline_s=30.0)  # for machines with other work
    async with paceline.AsyncClient(
        endpoint, zone="b", settings=patient, on_request=events.append
    ) as client:
        key = {"id": {"S": f"thousand {scheme}"}}
        await client.put_item(TableName="cached-hash", Item={**key, "v": {"N": "1"}})
        found = await asyncio.gather(
            *(client.get_item(TableName="cached-hash", Key=key) for _ in range(1000))
        )
        assert all(answer["Item"]["v"] == {"N": "1"} for answer in found)
        stats = client.stats()
    assert stats["local_reads"] / (stats["local_reads"] + stats["remote_reads"]) >= 0.95
    assert len(events) == 1001
    assert {event.zone for event in events[1:]} == {"b"}
    assert all(event.error is None and event.attempts == 1 for event in events)


async def test_reads_may_be_hedged(cluster: Cluster) -> None:
    async with paceline.AsyncClient(
        cluster.dax, settings=Settings(hedge_after_s=0.0, attempt_s=5.0)
    ) as client:
        key = {"id": {"S": "hedged"}}
        await client.put_item(TableName="cached-hash", Item=key)
        for number in range(1000):
            assert (await client.get_item(TableName="cached-hash", Key=key))["Item"] == key
            stats = client.stats()
            if number >= 40 and stats["hedges"]:  # not those that were answered at once
                break
    assert 1 <= stats["hedges"] <= stats["requests"] / 10 + 2, "a tenth at most"
    assert [node["outstanding"] for node in stats["nodes"]] == [0, 0, 0]


def test_reads_of_threads_may_be_hedged(cluster: Cluster) -> None:
    settings = Settings(hedge_after_s=0.0, attempt_s=5.0)
    with paceline.Client(cluster.dax, settings=settings) as client:
        key = {"id": {"S": "hedged thread"}}
        client.put_item(TableName="cached-hash", Item=key)
        for number in range(1000):
            assert client.get_item(TableName="cached-hash", Key=key)["Item"] == key
            stats = client.stats()
            if number >= 40 and stats["hedges"]:  # not those that were answered at once
                break
        assert 1 <= stats["hedges"] <= stats["requests"] / 10 + 2, "a tenth at most"
        wait_until(  # for the threads whose answers came second
            lambda: all(node["outstanding"] == 0 for node in client.stats()["nodes"]),
            "no request is outstanding",
        )


async def test_read_your_writes_on_any_node(cluster: Cluster) -> None:
    """No ticket goes from one client to the other: writes are fenced everywhere."""
    clients = [paceline.AsyncClient(cluster.dax, zone=zone) for zone in ("a", "b", "c")]
    key = {"id": {"S": "everywhere"}}
    try:
        for number in range(30):
            writer, *readers = clients[number % 3 :] + clients[: number % 3]
            item = {**key, "v": {"N": str(number)}}
            await writer.put_item(TableName="cached-hash", Item=item)
            found = await asyncio.gather(
                *(reader.get_item(TableName="cached-hash", Key=key) for reader in readers)
            )
            assert [answer["Item"] for answer in found] == [item, item]
        for client in clients:
            assert client.stats()["remote_reads"] == 0
    finally:
        for client in clients:
            await client.close()


def test_threads_share_a_client(client: paceline.Client) -> None:
    wrong: list[str] = []

    def work(lane: int) -> None:
        key = {"id": {"S": f"thread {lane}"}}
        for number in range(10):
            client.put_item(TableName="cached-hash", Item={**key, "v": {"N": str(number)}})
            found = client.get_item(TableName="cached-hash", Key=key)["Item"]["v"]["N"]
            if found != str(number):
                wrong.append(f"{lane}: {found} instead of {number}")

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def _in_a_child(client: paceline.Client, answers: Any) -> None:
    answers.put(client.get_item(TableName="cached-hash", Key={"id": {"S": "fork"}}).get("Item"))
    client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_goes_on_with_connections_of_its_own(client: paceline.Client) -> None:
    item = {"id": {"S": "fork"}, "v": {"S": "x"}}
    client.put_item(TableName="cached-hash", Item=item)
    gc.collect()  # other tests' gRPC channels must not be collected in a fork: see support.spawn
    forking = multiprocessing.get_context("fork")
    answers = forking.SimpleQueue()
    children = [forking.Process(target=_in_a_child, args=(client, answers)) for _ in range(3)]
    for child in children:
        child.start()
    for _ in range(20):
        assert client.get_item(TableName="cached-hash", Key={"id": item["id"]})["Item"] == item
    for child in children:
        child.join(20.0)
        assert child.exitcode == 0
    assert [answers.get() for _ in children] == [item] * 3
    answers.close()


# -- docs/clients.md ---------------------------------------------------------------------------


def test_the_examples_of_the_documentation(
    cluster: Cluster, plain: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    document = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
    section = document.partition("## The SDK")[2].partition("\n## ")[0]
    codes = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(codes) == 4
    plain.create_table(TableName="Users", BillingMode="PAY_PER_REQUEST", **TABLES["hash"])
    for code in codes:
        exec(re.sub(r":(81\d\d)", lambda port: f":{cluster.base_port + int(port[1]) - 8000}", code))
    said = capsys.readouterr().out.splitlines()
    assert said.pop() == "[{'name': {'S': 'Edsger'}}]"
    assert said == [
        "{'S': 'Edsger'}",
        "The conditional request failed",
        "1000 Edsger",
        "1",
        "10",
        "ACTIVE",
    ]


# -- what dies ---------------------------------------------------------------------------------


def healed(cluster: Cluster) -> None:
    """Everything runs, discovery included, which answers."""
    cluster.heal()
    host, port = cluster.dax.removeprefix("dax://").split(":")

    def listens() -> bool:
        try:
            socket.create_connection((host, int(port)), 1.0).close()
        except OSError:
            return False
        return True

    wait_until(listens, "discovery listens again", 20.0)


class Load:
    """Reads that must not fail, and increments whose outcomes are counted."""

    def __init__(self, client: paceline.AsyncClient, name: str) -> None:
        self._client = client
        self._key = {"id": {"S": name}}
        self.reads = self.done = self.unknown = 0
        self.last_write = time.monotonic()
        self.blocked_s = 0.0
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._read()) for _ in range(4)]
        self._tasks.append(asyncio.create_task(self._write()))

    async def _read(self) -> None:
        while not self._stop.is_set():
            await self._client.get_item(TableName="cached-hash", Key=self._key)
            self.reads += 1
            await asyncio.sleep(0.01)

    async def _write(self) -> None:
        while not self._stop.is_set():
            try:
                await self._client.update_item(
                    TableName="cached-hash",
                    Key=self._key,
                    UpdateExpression="ADD n :one",
                    ExpressionAttributeValues={":one": {"N": "1"}},
                )
                self.done += 1
                now = time.monotonic()
                self.blocked_s = max(self.blocked_s, now - self.last_write)
                self.last_write = now
            except self._client.exceptions.OutcomeUnknownException:
                self.unknown += 1
            await asyncio.sleep(0.01)

    async def more(self, writes: int = 20) -> None:
        """Waits for so many more writes."""
        wanted = self.done + writes
        async with asyncio.timeout(30):
            while self.done < wanted:
                for task in self._tasks:
                    assert not task.done(), task.result()
                await asyncio.sleep(0.02)

    async def end(self, plain: Any) -> None:
        """No read has failed, no write is lost or made twice."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        found = plain.get_item(TableName="cached-hash", Key=self._key, ConsistentRead=True)
        count = int(found["Item"]["n"]["N"])
        assert self.done <= count <= self.done + self.unknown
        assert self.unknown <= 5


@pytest.mark.parametrize("scheme", ["paceline", pytest.param("dax", marks=pytest.mark.soak)])
async def test_nodes_die_under_load(cluster: Cluster, plain: Any, scheme: str) -> None:
    await asyncio.to_thread(healed, cluster)
    endpoint = cluster.dax if scheme == "dax" else grpc(cluster)
    async with paceline.AsyncClient(endpoint, zone="a") as client:
        load = Load(client, f"load {scheme}")
        await load.more()
        victim = await asyncio.to_thread(cluster.primary)
        cluster.kill(victim)
        await load.more()
        cluster.kill(DISCOVERY)
        cluster.start_again(victim)
        await asyncio.to_thread(cluster.wait_ready, victim)
        await load.more()
        await load.end(plain)
        print(f"{scheme}: writes were blocked for {load.blocked_s:.2f} s; {client.stats()}")


async def test_a_hung_node_costs_no_read(cluster: Cluster) -> None:
    await asyncio.to_thread(healed, cluster)
    victim = cluster.replicas()[0]
    zone = cluster.node(victim)["zone"]
    async with paceline.AsyncClient(grpc(cluster), zone=zone) as client:
        key = {"id": {"S": "hung"}}
        await client.get_item(TableName="cached-hash", Key=key)
        cluster.pause(victim)
        try:
            for _ in range(20):
                await client.get_item(TableName="cached-hash", Key=key)
            assert client.stats()["remote_reads"] > 0
        finally:
            cluster.resume(victim)


async def test_without_any_node_dynamodb_is_asked_within_a_budget(
    cluster: Cluster, plain: Any
) -> None:
    await asyncio.to_thread(healed, cluster)
    item = {"id": {"S": "fallback"}, "v": {"N": "1"}}
    key = {"id": item["id"]}
    behind: list[Any] = []
    events: list[RequestEvent] = []
    async with paceline.AsyncClient(
        cluster.dax,
        fallback=plain,
        fallback_writes=True,
        fallback_rate_per_s=50.0,
        on_return=behind.append,
        on_request=events.append,
    ) as client:
        await client.put_item(TableName="cached-hash", Item=item)
        for node_id in cluster.node_ids:
            cluster.kill(node_id)
        with Stopwatch() as watch:
            assert (await client.get_item(TableName="cached-hash", Key=key))["Item"] == item
            assert watch.elapsed_s < 2.0
            while watch.elapsed_s < 1.5:
                await client.get_item(TableName="cached-hash", Key=key)
        assert client.stats()["fallback_reads"] <= 50 + 50 * 3
        assert client.stats()["away"]
        assert (events[-1].node, events[-1].zone) == ("dynamodb", None)
        await client.put_item(TableName="cached-hash", Item={**item, "v": {"N": "2"}})
        assert client.stats()["fallback_writes"] == 1
        impatient = client.with_options(deadline_s=0.2)
        await client.batch_get_item(
            RequestItems={"cached-hash": {"Keys": [{"id": {"S": str(n)}} for n in range(100)]}}
        )
        with pytest.raises(Unavailable, match="budget"):
            await impatient.get_item(TableName="cached-hash", Key=key)
        for node_id in cluster.node_ids:
            cluster.start_again(node_id)
        await asyncio.to_thread(cluster.wait_serving)
        with Stopwatch() as watch:
            while client.stats()["away"]:
                await client.get_item(TableName="cached-hash", Key=key)
                assert watch.elapsed_s < 5.0
        assert (await client.get_item(TableName="cached-hash", Key=key))["Item"]["v"] == {"N": "2"}
    assert [found.keys for found in behind] == [{"cached-hash": [{**item, "v": {"N": "2"}}]}]


@pytest.mark.soak
def test_a_blocking_client_outlives_nodes_and_the_cluster(cluster: Cluster, plain: Any) -> None:
    healed(cluster)
    key = {"id": {"S": "blocking"}}
    with paceline.Client(cluster.dax, fallback=plain) as client:
        client.put_item(TableName="cached-hash", Item=key)
        for node_id in cluster.node_ids:
            for _ in range(20):
                assert client.get_item(TableName="cached-hash", Key=key)["Item"] == key
            cluster.kill(node_id)
        assert client.get_item(TableName="cached-hash", Key=key)["Item"] == key
        assert client.stats()["fallback_reads"] >= 1
        brief = client.with_options(deadline_s=0.5)
        with pytest.raises(Unavailable):
            brief.put_item(TableName="cached-hash", Item=key)
        for node_id in cluster.node_ids:
            cluster.start_again(node_id)
        cluster.wait_serving()

        def back() -> bool:
            client.get_item(TableName="cached-hash", Key=key)
            return not client.stats()["away"]

        wait_until(back, "the cluster is asked again", 5.0)
        client.put_item(TableName="cached-hash", Item=key)

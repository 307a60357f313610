"""CloudWatch without a network: boto3's own client in front of the service, in each protocol."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from cluster.access.counting import Refusals
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from discovery.cloudwatch.assembly import watched_of
from discovery.cloudwatch.service import CloudWatch
from discovery.services.callers import ServiceCallers
from discovery.services.requests import ServiceAnswer, ServiceRequest
from discovery.watch.history import History
from paceline.access.policies.context import arn_of
from paceline.access.policies.policy import Policy
from paceline.clock import wall_time

REGION = "eu-west-1"
CLUSTER = "my-dax-cluster"
SECRET = "s" * 40
REQUEST_ID = "00000000-1111-2222-3333-444444444444"
PROTOCOLS = ("json", "query", "smithy-rpc-v2-cbor")


def user(name: str, *policies: str) -> tuple[Principal, AccessKey]:
    made = tuple(Policy.parse(text, f"policy-{place}") for place, text in enumerate(policies))
    return Principal(name, arn_of(name), {}, made), AccessKey(f"PLAK{name:0>16}", SECRET, name)


class Body(io.BytesIO):
    def stream(self, **_: object) -> Any:
        yield self.read()


class World:
    """``users``: none where nobody has to sign. ``now``: the service's time of metrics."""

    def __init__(
        self, *users: tuple[Principal, AccessKey], now: Callable[[], float] = wall_time
    ) -> None:
        self.history = History(None)
        self.watched = watched_of(self.history, CLUSTER, REGION, "000000000000", now)
        self.refusals = Refusals()
        self.seen: list[ServiceRequest] = []
        self.answers: list[ServiceAnswer] = []
        callers = None
        if users:
            known = KnownPrincipals(tuple(one for one, _ in users), tuple(key for _, key in users))
            callers = ServiceCallers(known, REGION)

        async def work(do: Callable[[], Any]) -> Any:
            return do()

        self.service = CloudWatch(
            self.watched.operations(),
            callers,
            self.refusals,
            wall_time,
            work,
        )

    def add(self, at: int, **values: Mapping[str, float]) -> None:
        """By node."""
        self.history.add(at, values)

    def client(self, protocol: str = "json", key: str = "anybody") -> Any:
        client = boto3.Session(botocore_session=_session(protocol)).client(
            "cloudwatch",
            endpoint_url="http://127.0.0.1:8113",
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=SECRET,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        client.meta.events.register("before-send.cloudwatch", self._send)
        return client

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        url = urlsplit(request.url)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        body = request.body or b""
        headers = [("Host", url.netloc), *request.headers.items()]
        pairs = tuple((_bytes(name), _bytes(value)) for name, value in headers)
        told = self.answer(
            request.method, target, pairs, body if isinstance(body, bytes) else body.encode()
        )
        return AWSResponse("http://x", told.status, told.headers, Body(told.body))

    def answer(
        self, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...], body: bytes
    ) -> ServiceAnswer:
        asked = ServiceRequest(REQUEST_ID, method, target, headers, body, "127.0.0.1")
        self.seen.append(asked)
        told = asyncio.run(self.service.answer(asked))
        self.answers.append(told)
        return told


def _session(protocol: str) -> Any:
    """Whose model of CloudWatch has that protocol alone."""
    session = botocore.session.Session()
    loader = session.get_component("data_loader")
    load = loader.load_service_model

    def loaded(service_name: str, type_name: str, api_version: str | None = None) -> Any:
        model = load(service_name, type_name, api_version)
        service, kind = service_name, type_name
        if service == "cloudwatch" and kind == "service-2":
            told = {**model["metadata"], "protocol": protocol, "protocols": [protocol]}
            model = {**model, "metadata": told}
        return model

    loader.load_service_model = loaded
    return session


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()

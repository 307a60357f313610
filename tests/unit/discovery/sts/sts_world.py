"""STS without a network: boto3's own client in front of the service."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from cluster.access.counting import Refusals
from cluster.access.directories import AllPrincipals
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.roles import Role
from cluster.access.session_tokens import SessionTokens
from discovery.services.callers import ServiceCallers
from discovery.services.requests import ServiceAnswer, ServiceRequest
from discovery.sts.service import Sts
from paceline.access.policies.context import arn_of
from paceline.access.policies.policy import Kind, Policy
from paceline.clock import wall_time

REGION = "eu-west-1"
SECRET = "s" * 40
KEY_FILE = ["k" * 32]
REQUEST_ID = "00000000-1111-2222-3333-444444444444"


def user(name: str, number: int, *policies: str) -> tuple[Principal, AccessKey]:
    made = tuple(Policy.parse(text, f"policy-{place}") for place, text in enumerate(policies))
    return (
        Principal(name, arn_of(name), {"team": "blue"}, made),
        AccessKey(f"PLAK{number:016}", SECRET, name),
    )


def role(name: str, trust: str, **more: Any) -> Role:
    return Role(name, f"PLRO{name.upper():Z>16}"[:20], Policy.parse(trust, "t", Kind.TRUST), **more)


class Body(io.BytesIO):
    def stream(self, **_: object) -> Any:
        yield self.read()


class World:
    """``ahead_s``: by how much the service's clock is ahead."""

    def __init__(self, *users: tuple[Principal, AccessKey], roles: tuple[Role, ...] = ()) -> None:
        self.ahead_s = 0.0
        self.refusals = Refusals()
        self.tokens = SessionTokens(KEY_FILE, "c")
        self.seen: list[ServiceRequest] = []
        self.answers: list[ServiceAnswer] = []
        self.know(*users, roles=roles)

    def know(self, *users: tuple[Principal, AccessKey], roles: tuple[Role, ...] = ()) -> None:
        principals, keys = tuple(one for one, _ in users), tuple(key for _, key in users)
        known = KnownPrincipals(principals, keys, roles=roles)
        self.known = AllPrincipals([known], self.tokens)
        self.sts = Sts(
            self.known,
            ServiceCallers(self.known, REGION),
            self.tokens,
            self.refusals,
            lambda: wall_time() + self.ahead_s,
        )

    def client(
        self, key: str, secret: str = SECRET, token: str | None = None, region: str = REGION
    ) -> Any:
        client = boto3.client(
            "sts",
            endpoint_url="http://127.0.0.1:8113",
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        client.meta.events.register("before-send.sts", self._send)
        return client

    def client_of(self, credentials: dict[str, Any], region: str = REGION) -> Any:
        """As an answer of STS has them."""
        return self.client(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
            region,
        )

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        url = urlsplit(request.url)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        body = request.body or b""
        headers = [("Host", url.netloc), *request.headers.items()]
        pairs = tuple((_bytes(name), _bytes(value)) for name, value in headers)
        return self.answer(
            request.method, target, pairs, body if isinstance(body, bytes) else body.encode()
        )

    def answer(
        self, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...], body: bytes
    ) -> AWSResponse:
        asked = ServiceRequest(REQUEST_ID, method, target, headers, body, "127.0.0.1")
        self.seen.append(asked)
        told = self.sts.answer(asked)
        self.answers.append(told)
        return AWSResponse("http://x", told.status, {}, Body(told.body))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()

"""A DynamoDB that knows access keys: a proxy in front of the embedded one, which knows none.

Every request's signature is verified, what its key may not do is refused as by AWS, and all of them
are written down with their keys. It is an STS as well. Its rules are few and its own, so that they
are not wrong where those of a node are.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from cluster.access.denied import Denied
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import Rules, verify

NODE_KEY = "paceline"
"""That of nodes whose credentials are the placeholders."""

ACCOUNT = "123456789012"
CALL_S = 20.0
HASH = "id"
"""The name of every table's partition key, and of every index's: v."""

ERROR_PREFIX = "com.amazonaws.dynamodb.v20120810#"
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"


class Asked(NamedTuple):
    key: str
    operation: str
    body: dict[str, Any]
    headers: dict[str, str]
    """By names in lower case."""


@dataclass
class Rights:
    """What one key may do; None is anything."""

    actions: set[str] | None = None
    resources: set[str] | None = None
    """Tables, and indexes as TABLE/INDEX."""
    leading: set[str] | None = None
    attributes: set[str] | None = None
    """A request has to name those that it wants, and no others."""
    return_values: set[str] | None = None

    def allows(self, operation: str, body: dict[str, Any]) -> bool:
        parts = body["RequestItems"].items() if operation.startswith("Batch") else [("", body)]
        return all(
            self._allows(operation, table or part.get("TableName", ""), part)
            for table, part in parts
        )

    def _allows(self, operation: str, table: str, part: Any) -> bool:
        if self.actions is not None and operation not in self.actions:
            return False
        index = part.get("IndexName") if isinstance(part, dict) else None
        resource = table if index is None else f"{table}/{index}"
        if self.resources is not None and resource not in self.resources:
            return False
        if self.leading is not None and not _leading(part) <= self.leading:
            return False
        if not isinstance(part, dict):
            return True
        if self.attributes is not None:
            names = part.get("ExpressionAttributeNames", {})
            wanted = [one.strip() for one in part.get("ProjectionExpression", "*").split(",")]
            if not {names.get(one, one) for one in wanted} <= self.attributes:
                return False
        returned = part.get("ReturnValues", "NONE")
        return self.return_values is None or returned in self.return_values


def _leading(part: Any) -> set[str]:
    """``{"*"}``: any."""
    if isinstance(part, list):  # of a BatchWriteItem
        items = [
            one.get("PutRequest", {}).get("Item") or one["DeleteRequest"]["Key"] for one in part
        ]
        return {item[HASH]["S"] for item in items}
    if "Keys" in part:
        return {key[HASH]["S"] for key in part["Keys"]}
    found = part.get("Key") or part.get("Item")
    if found is not None:
        return {found[HASH]["S"]}
    values = part.get("ExpressionAttributeValues", {})
    return {value["S"] for value in values.values()} or {"*"}


@dataclass
class Caller:
    secret: str
    rights: Rights
    token: str | None = None
    account: str = ACCOUNT


@dataclass
class Role:
    """``made``: how often it was taken on, by which keys."""

    rights: Rights
    lasts_s: float = 3600.0
    made: list[str] = field(default_factory=list)


class GuardedDynamoDB:
    """``with GuardedDynamoDB(endpoint) as guard``; ``callers`` and ``roles`` may be changed."""

    def __init__(self, endpoint: str) -> None:
        self.callers: dict[str, Caller] = {
            NODE_KEY: Caller(NODE_KEY, Rights({"DescribeTable", "ListTables"}))
        }
        self.roles: dict[str, Role] = {}
        self.asked: list[Asked] = []
        self.hold: Callable[[Asked], float] = lambda _: 0.0
        """How long to wait before the answer, in seconds."""
        parts = urlsplit(endpoint)
        self._behind = parts.hostname or "", parts.port or 80
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="guarded DynamoDB")
        self._workers = ThreadPoolExecutor(16)
        self._keys = SigningKeys()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(CALL_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(CALL_S)
        self._workers.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    def of(self, key: str) -> list[Asked]:
        """What was asked with it."""
        return [one for one in self.asked if one.key == key]

    async def _start(self) -> None:
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_post("/", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.endpoint = f"http://127.0.0.1:{port}"

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        target = request.headers.get("X-Amz-Target", "")
        service = "dynamodb" if target else "sts"
        try:
            key = self._verified(request, body, service)
        except Denied as denied:
            return _refusal(denied.error_name, denied.message)
        if not target:
            return self._sts(key, body.decode())
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(key, target.rpartition(".")[2], json.loads(body), headers)
        self.asked.append(asked)
        if not self.callers[key].rights.allows(asked.operation, asked.body):
            return _refusal(
                "AccessDeniedException",
                f"User: {key} is not authorized to perform: dynamodb:{asked.operation}",
            )
        status, content, headers = await self._loop.run_in_executor(
            self._workers, self._passed, target, body
        )
        await asyncio.sleep(self.hold(asked))
        return web.Response(status=status, body=content, headers=headers)

    def _verified(self, request: web.Request, body: bytes, service: str) -> str:
        """Returns the key's id. Denied."""
        known = KnownPrincipals(
            tuple(Principal(key, "") for key in self.callers),
            tuple(
                AccessKey(key, one.secret, key, session_token=one.token)
                for key, one in self.callers.items()
            ),
        )
        headers = tuple((n.lower().encode(), v.encode()) for n, v in request.headers.items())
        digest = hashlib.sha256(body).hexdigest()
        signed = SignedRequest("POST", b"/", b"", headers, digest)
        rules = Rules("us-east-1", service)
        return verify(signed, known, rules, self._keys, time.time()).key.id

    def _passed(self, target: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(*self._behind, timeout=CALL_S)
        scope = f"{datetime.now(UTC):%Y%m%d}/us-east-1/dynamodb/aws4_request"
        credential = f"AWS4-HMAC-SHA256 Credential={NODE_KEY}/{scope}"
        headers = {
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"{credential}, SignedHeaders=host, Signature={'0' * 64}",
        }
        try:
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        kept = ("x-amzn-requestid", "content-type", "x-amz-crc32")
        return (
            response.status,
            content,
            {name: value for name, value in response.getheaders() if name.lower() in kept},
        )

    def _sts(self, key: str, text: str) -> web.Response:
        asked = {name: values[0] for name, values in parse_qs(text).items()}
        if asked["Action"] == "GetCallerIdentity":
            account = self.callers[key].account
            return _xml("GetCallerIdentity", f"<Arn>arn</Arn><Account>{account}</Account>")
        role = self.roles.get(asked["RoleArn"])
        if role is None:
            return web.Response(
                status=403,
                content_type="text/xml",
                text="<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
                "<Message>not authorized to perform: sts:AssumeRole</Message></Error>"
                "</ErrorResponse>",
            )
        role.made.append(key)
        name = f"ASIA{asked['RoleSessionName'].upper().replace('=', '_')}{len(role.made):012d}"
        secret, token = "s" * 40 + name, f"token of {name}"
        self.callers[name] = Caller(secret, role.rights, token)
        until = datetime.fromtimestamp(time.time() + role.lasts_s, UTC)
        return _xml(
            "AssumeRole",
            f"<Credentials><AccessKeyId>{name}</AccessKeyId><SecretAccessKey>{secret}"
            f"</SecretAccessKey><SessionToken>{token}</SessionToken>"
            f"<Expiration>{until:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>",
        )


def _xml(action: str, content: str) -> web.Response:
    return web.Response(
        content_type="text/xml",
        text=f'<{action}Response xmlns="{_STS}"><{action}Result>{content}</{action}Result>'
        f"<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>",
    )


def _refusal(name: str, message: str) -> web.Response:
    return web.Response(
        status=400,
        body=json.dumps({"__type": ERROR_PREFIX + name, "message": message}).encode(),
        headers={"x-amzn-requestid": "DENIED", "content-type": "application/x-amz-json-1.0"},
    )

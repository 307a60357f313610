"""Which calls go the lean way, and how. The answers are those of botocore, made by its parser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError

from cluster.transport.large_work import INLINE_VALUES_MAX, LargeWork
from node.backend.bodies import StrictJSONParser, takes_long
from node.backend.lean.answers import READ_HERE, result_of
from node.backend.lean.connection import Answer, Connection, Foreign
from node.backend.lean.pool import Limits, NotConnected, Pool
from node.backend.lean.signing import Keys, Signer
from node.backend.session import Attempt, refuse, whole_body
from node.requests.reach import DYNAMODB
from node.tracing.spans import header_lines
from node.values import json_slices
from node.values.size import holds_more
from paceline.dynamodb_answers import answer_bytes_max
from paceline.dynamodb_operations import CARRIED, named_tables
from paceline.errors import ConfigError
from paceline.types import Params, Result

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ERRORS_FROM = 300


class NotLean(Exception):
    """Requests to this endpoint have to go by aiobotocore."""


class Lent:
    """A connection for one request, in the form that ``Attempt`` knows: that of aiohttp's.
    ``transport`` is None once it has been given back."""

    def __init__(self, connection: Connection) -> None:
        self.protocol = connection
        self.transport: asyncio.Transport | None = connection.transport


class LeanWay:
    """One attempt at a time for each caller; ``client``: the aiobotocore client whose credentials,
    endpoint and models are used."""

    def __init__(
        self,
        client: Any,
        limits: Limits,
        work: LargeWork,
        user_agent: str,
        now: Callable[[], float],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._limits = limits
        self._work = work
        self._now = now
        self._wall_clock = wall_clock
        self._parser = StrictJSONParser(large_work=work)
        self._pool: Pool
        self._signer: Signer
        self._frozen: Any = None
        self._keys: Keys | None = None
        """What was made of the credentials that the last attempt was signed with, ``_frozen``."""
        self._common = f"user-agent: {user_agent}\r\naccept-encoding: identity\r\n"
        """The headers that are the same for all requests."""

    async def start(self) -> None:
        """Raises NotLean and ConfigError; contacts nobody."""
        client = self._client
        context: dict[str, Any] = {}
        model = client._service_model.operation_model("GetItem")
        url, more, _ = await client._resolve_endpoint_ruleset(model, {}, context)
        session = client._endpoint.http_session
        parts = urlsplit(url)
        if more or context.get("signing") or parts.scheme not in _DEFAULT_PORTS:
            raise NotLean("its endpoint needs more than a host and a region")
        if parts.path not in ("", "/") or parts.query or parts.username or not parts.hostname:
            raise NotLean("its endpoint is more than a host and a port")
        if session._proxy_config.proxy_url_for(url):
            raise NotLean("there is a proxy on the way")
        tls = None
        if parts.scheme == "https":
            try:
                tls, _ = await asyncio.to_thread(session._build_ssl_contexts, None)
            except OSError as error:
                raise ConfigError(
                    f"the authorities in {session._verify} cannot be read ({error}); check "
                    "AWS_CA_BUNDLE"
                ) from error
        default_port = _DEFAULT_PORTS[parts.scheme]
        port = parts.port or default_port
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        host = host if port == default_port else f"{host}:{port}"
        self._signer = Signer(host, client.meta.region_name)
        self._pool = Pool(parts.hostname, port, tls, self._limits, self._now)

    def close(self) -> None:
        self._pool.close()

    @property
    def is_full(self) -> bool:
        return self._pool.is_full

    def takes(self, operation: str, params: Params) -> bool:
        """False for tables named by an ARN: its account may have an endpoint of its own."""
        return operation in CARRIED and not any(
            isinstance(name, str) and name.startswith("arn:")
            for name in named_tables(operation, params)
        )

    async def call(self, attempt: Attempt, operation: str, params: Params) -> Result:
        """Makes the attempt. Raises what the client's own method would: ClientError for an error
        answer, BotoCoreError if nothing was sent, anything if something was."""
        if None in params.values():
            params = {name: value for name, value in params.items() if value is not None}
        credentials = self._client._request_signer._credentials
        frozen = await credentials.get_frozen_credentials()
        keys = self._keys
        if keys is None or frozen != self._frozen:
            keys, self._frozen = _keys_of(frozen), frozen
            self._keys = keys
        lines = header_lines()
        if holds_more(params, INLINE_VALUES_MAX):
            request = await self._work.run(
                lambda: self._request(operation, json_slices.dumps(params), keys, lines)
            )
        else:
            request = self._request(operation, json_slices.dumps_few(params), keys, lines)
        answer = await self._exchanged(attempt, request)
        raw = await whole_body(attempt, answer.status, answer.headers, answer.parts)
        return await self._parsed(operation, answer, raw)

    def _request(self, operation: str, body: bytes, keys: Keys, lines: str) -> bytes:
        """``lines``: of headers that are not signed."""
        signed = self._signer.head(f"{DYNAMODB}.{operation}", body, keys, self._wall_clock())
        lines = f"{signed}{self._common}{lines}content-length: {len(body)}\r\n\r\n"
        head = f"POST / HTTP/1.1\r\n{lines}"
        return b"".join((head.encode("latin-1"), body))

    async def _exchanged(self, attempt: Attempt, request: bytes) -> Answer:
        while True:
            try:
                connection = await self._pool.take()
            except NotConnected as error:
                raise NoConnectionError(error=error) from error
            lent = Lent(connection)
            usable = False
            try:
                if not attempt.go(lent):
                    if attempt.stale and not connection.is_new:
                        attempt.stale = False
                        continue  # that one was closed meanwhile; nothing went out
                    usable = attempt.refused
                    raise HTTPClientError(error="not sent")
                bytes_max = answer_bytes_max(attempt.operation)
                answer = await connection.exchange(request, bytes_max)
                usable = True
                return answer
            except Foreign as error:
                refuse(str(error))
                raise
            finally:
                lent.transport = None
                self._pool.give_back(connection, usable)

    async def _parsed(self, operation: str, answer: Answer, raw: bytes) -> Result:
        if answer.status < _ERRORS_FROM and operation in READ_HERE and not takes_long(raw):
            result = result_of(operation, _json(raw))
            if result is not None:
                return result
        model = self._client._service_model.operation_model(operation)
        response = {"headers": answer.headers, "status_code": answer.status, "body": raw}
        parsed: Any = await self._parser.parse(response, model.output_shape)
        if answer.status < _ERRORS_FROM:
            return cast(Result, parsed)
        endpoint = self._client._endpoint
        await endpoint._add_modeled_error_fields(response, parsed, model, self._parser)
        raise ClientError(parsed, operation)


def _keys_of(frozen: Any) -> Keys:
    keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)
    if not f"{keys.access}{keys.token or ''}".isprintable():
        # A line's end would end the header, and what follows it would be another.
        raise HTTPClientError(error="the AWS credentials have a line's end or its like in them")
    return keys


def _json(raw: bytes) -> Any:
    """None for what is none: botocore's parser finds the words for it."""
    try:
        return json_slices.loads(raw)
    except (ValueError, RecursionError):
        return None

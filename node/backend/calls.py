"""Makes one request to DynamoDB and says how it ended. Nothing is repeated here."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore import xform_name
from botocore.credentials import ReadOnlyCredentials

from cluster.access.counting import DENIED
from cluster.settings import DynamoDBSettings
from cluster.transport.charges import ReadRefused
from cluster.transport.large_work import LargeWork
from node.backend.acting import Actor, acting
from node.backend.bodies import ERROR_BODY, Serializer, StrictParserFactory, called
from node.backend.caller_keys import CallerKeys, KeysDenied, NoKeys
from node.backend.consumed import note_answer, note_refusal
from node.backend.lean.pool import Limits
from node.backend.lean.signing import Keys
from node.backend.lean.way import LeanWay, NotLean
from node.backend.models import with_models
from node.backend.raw import send_raw
from node.backend.retry import ErrorMeaning, meaning_of
from node.backend.session import KEEPALIVE_S, Attempt, GuardedSession, current
from node.backend.sockets import socket_factory
from node.backend.time_limits import TimeLimits
from node.requests.capacity import CapacityCounts
from node.requests.counts import OTHER, Latencies
from node.requests.reach import RAW, spoken_name
from node.tracing.spans import Spans, hand_on
from paceline.dynamodb_operations import OPERATIONS
from paceline.errors import ConfigError, DynamoDBError, RequestError
from paceline.http_hosts import is_loopback
from paceline.types import Params, Result

_log = structlog.get_logger()

DUMMY_KEY = "paceline"
"""The access key and secret for a DynamoDB that does not check signatures. ministack and DynamoDB
Local keep tables per access key or account, so every node must use the same."""

NOBODY = "NOBODY"
"""Of a client that signs with callers' credentials."""

_BAD_KEYS = frozenset(
    {
        *("ExpiredTokenException", "IncompleteSignatureException", "InvalidSignatureException"),
        *("InvalidClientTokenId", "MissingAuthenticationTokenException"),
        "UnrecognizedClientException",
    }
)
"""Refusals that say of the credentials that they are none, or none any more."""

USER_AGENT = "paceline"


@dataclass(frozen=True, slots=True)
class Success:
    """DynamoDB carried the request out."""

    result: Result


@dataclass(frozen=True, slots=True)
class Refusal:
    """DynamoDB answered with an error."""

    error: DynamoDBError
    meaning: ErrorMeaning


@dataclass(frozen=True, slots=True)
class Silence:
    """DynamoDB did not answer. ``sent`` False: certainly not a byte went out."""

    reason: str
    sent: bool
    forbidden: bool = False
    """``may_send`` said no when the connection was in hand."""
    foreign: bool = False
    """An answer came that is not DynamoDB's."""


End = Success | Refusal | Silence
_ENDS = {Success: "ok", Refusal: "refused", Silence: "silent"}


class Caller:
    """Holds the client. ``now`` is the clock of the deadlines; ``service``: botocore's name;
    ``ca_file``: the authorities to trust instead of botocore's; ``quarantine_s``: what was sent
    must land within it or never."""

    def __init__(
        self,
        settings: DynamoDBSettings,
        now: Callable[[], float],
        service: str = "dynamodb",
        ca_file: Path | None = None,
        quarantine_s: float = math.inf,
        large_work: LargeWork | None = None,
        caller_keys: CallerKeys | None = None,
    ) -> None:
        """``caller_keys``: requests are signed with those of ``acting``, and with no others."""
        self._caller_keys = caller_keys
        self._settings = settings
        self._answer_s = min(settings.read_timeout_s, quarantine_s / 2)
        """The time for an answer, in seconds. Then the attempt is given up; what it sent may land
        until the quarantine ends."""
        self._ca_file = ca_file
        self._service = service
        self._now = now
        self.latencies = Latencies()
        """Of attempts, by operation and how they ended."""
        self.capacity = CapacityCounts()
        self._large_work = large_work or LargeWork()
        self._exit = AsyncExitStack()
        self._client: Any = None
        self._lean: LeanWay | None = None
        self._limits = TimeLimits()
        self.spans: Spans | None = None

    @property
    def endpoint(self) -> str:
        return self._settings.endpoint or f"AWS DynamoDB in {self._settings.region}"

    async def start(self) -> None:
        """Contacts nobody but the credential chain. Raises ConfigError when that has no
        credentials."""
        settings = self._settings
        options: dict[str, Any] = {"region_name": settings.region}
        if settings.endpoint:
            options["endpoint_url"] = settings.endpoint
        if self._ca_file is not None:
            options["verify"] = str(self._ca_file)
        try:
            if self._caller_keys is not None:
                session = with_models(AioSession())
                # Of nobody: what would be signed with them is refused below.
                options |= {
                    "aws_access_key_id": NOBODY,
                    "aws_secret_access_key": NOBODY,
                    "aws_session_token": None,
                }
            elif settings.credentials == "dummy":
                session = with_models(AioSession(session_vars=_NO_FILES))
                options |= {
                    "aws_access_key_id": DUMMY_KEY,
                    "aws_secret_access_key": DUMMY_KEY,
                    # Else a token from the environment would go with them.
                    "aws_session_token": None,
                }
            else:
                session = with_models(AioSession())
                if await session.get_credentials() is None:
                    raise ConfigError(
                        "no AWS credentials found: set AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY, a profile or a role; for a local DynamoDB set "
                        "PACELINE_DYNAMODB__CREDENTIALS=dummy"
                    )
            factory = StrictParserFactory(self._large_work)
            session.register_component("response_parser_factory", factory)
            self._client = await self._exit.enter_async_context(
                session.create_client(self._service, config=self._config(), **options)
            )
            self._client._serializer = Serializer(self._client._serializer)
            self._client.meta.events.register(f"before-send.{self._service}", _hand_on)
            if self._caller_keys is not None:
                self._client._request_signer._credentials = _KeysOfAttempt()
            if settings.client == "lean" and self._service == "dynamodb":
                await self._begin_lean()
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"the DynamoDB client cannot be set up ({error}); check "
                "PACELINE_DYNAMODB__ENDPOINT, PACELINE_DYNAMODB__REGION and the AWS settings"
            ) from error

    @property
    def is_full(self) -> bool:
        """True if a hot operation that began now would wait for another one's connection. False
        where that is not known."""
        return self._lean is not None and self._lean.is_full

    def knows(self, operation: str) -> bool:
        return (
            self._client is not None
            and operation in self._client.meta.service_model.operation_names
        )

    async def _begin_lean(self) -> None:
        settings = self._settings
        limits = Limits(
            settings.connections_max, settings.connect_timeout_s, KEEPALIVE_S, self._answer_s
        )
        way = LeanWay(self._client, limits, self._large_work, USER_AGENT, self._now)
        try:
            await way.start()
        except NotLean as reason:
            _log.info("all requests to DynamoDB go by aiobotocore", reason=str(reason))
        else:
            self._lean = way
            self._exit.callback(way.close)

    async def stop(self) -> None:
        self._client = self._lean = None
        await self._exit.aclose()

    async def call(
        self,
        operation: str,
        params: Params,
        deadline: float,
        may_send: Callable[[], bool] | None = None,
        on_sent: Callable[[], None] | None = None,
    ) -> End:
        """Makes one attempt, which is given up at ``deadline`` or one read time-out after it was
        sent. ``on_sent`` is told when the connection is in hand.

        Raises RequestError when the parameters cannot be put into a request, ReadRefused when there
        is no memory for the answer to a read. After a cancellation
        nothing more goes out, but what went out before may still take effect.
        """
        if self._client is None:
            return Silence("the DynamoDB client is not running", sent=False)
        name = spoken_name(operation, params)
        began_at = self._now()
        traced = None if self.spans is None else self.spans.attempt(name)
        if traced is None:
            end = await self._attempted(operation, name, params, deadline, may_send, on_sent)
        else:
            with traced as attempt:
                end = await self._attempted(operation, name, params, deadline, may_send, on_sent)
                attempt.ended(_ENDS[type(end)], *_told_of(end))
        shown = name if name in OPERATIONS else OTHER
        self.latencies.add((shown, _ENDS[type(end)]), self._now() - began_at)
        match end:
            case Success(result=result):
                note_answer(self.capacity, operation, name, params, result)
            case Refusal(error=error):
                note_refusal(self.capacity, name, operation, params, error)
        return end

    async def _attempted(
        self,
        operation: str,
        name: str,
        params: Params,
        deadline: float,
        may_send: Callable[[], bool] | None,
        on_sent: Callable[[], None] | None,
    ) -> End:
        keys: Keys | None = None
        if self._caller_keys is not None:
            found = await self._keys_until(deadline)
            if not isinstance(found, Keys):
                return found
            keys = found
        attempt = Attempt(
            name,
            may_send,
            self._answer_s,
            self._large_work,
            is_raw=operation == RAW,
            on_sent=on_sent,
        )
        attempt.keys = keys
        token = current.set(attempt)
        try:
            async with self._limits.within(deadline - self._now()) as limit:
                attempt.limited_by(limit)
                result: Result
                if self._lean is not None and self._lean.takes(operation, params):
                    result = await self._lean.call(attempt, operation, params)
                elif operation == RAW:
                    result = await send_raw(self._client, params, self._large_work)
                else:
                    method = getattr(self._client, xform_name(operation))
                    result = await called(self._large_work, method, params)
        except TimeoutError:
            return Silence(_TIMED_OUT if attempt.sent else _NO_CONNECTION, attempt.sent)
        except botocore.exceptions.ClientError as error:
            return self._refused(_refusal(error), keys)
        except DynamoDBError as error:
            return self._refused(Refusal(error, meaning_of(error.name, error.status)), keys)
        except Exception as error:  # whatever it is: only the mark on the attempt proves anything
            if attempt.no_room:
                raise ReadRefused from None
            return _silence(attempt, error)
        finally:
            attempt.end()
            current.reset(token)
        if not attempt.sent:
            # Never with the aiohttp versions allowed: then 'not sent' would mean nothing.
            raise RuntimeError("aiohttp sent a request past GuardedRequest.write_bytes")
        result.pop("ResponseMetadata", None)
        return Success(result)

    async def without_keys(self, deadline: float) -> Refusal | Silence | None:
        """What a request that is made now would end with for want of credentials; None: there are
        some, or it goes with the node's."""
        if self._caller_keys is None:
            return None
        found = await self._keys_until(deadline)
        return None if isinstance(found, Keys) else found

    async def _keys_until(self, deadline: float) -> Keys | Refusal | Silence:
        """The credentials of whoever the request is made for. Nothing is sent without them."""
        assert self._caller_keys is not None
        actor = acting.get()
        if actor is None:
            return _denied("nobody knows who makes this request")
        try:
            async with asyncio.timeout(deadline - self._now()):
                return await self._caller_keys.of(actor.who)
        except KeysDenied as error:
            return _denied(f"User: {actor.arn}: {error}")
        except NoKeys as error:
            return Silence(str(error), sent=False)
        except TimeoutError:
            return Silence(f"no credentials of {actor.who.name} in time", sent=False)

    def _refused(self, refusal: Refusal, keys: Keys | None) -> Refusal:
        actor: Actor | None = acting.get()
        if keys is not None and actor is not None and refusal.error.name in _BAD_KEYS:
            assert self._caller_keys is not None
            self._caller_keys.refused(actor.who, keys)
        return refusal

    def _config(self) -> AioConfig:
        settings = self._settings
        options: dict[str, Any] = {}
        if settings.endpoint and is_loopback(urlsplit(settings.endpoint).hostname or ""):
            options["proxies"] = {}  # a proxy of the environment cannot reach our loopback
        return AioConfig(
            http_session_cls=GuardedSession,
            ignore_configured_endpoint_urls=True,
            endpoint_discovery_enabled=False,
            retries={"total_max_attempts": 1},
            # Everything is checked by DynamoDB, whose wording clients expect.
            parameter_validation=False,
            # botocore puts its own together anew for every request: a tenth of a call's CPU.
            user_agent=USER_AGENT,
            connect_timeout=settings.connect_timeout_s,
            read_timeout=self._answer_s,
            max_pool_connections=settings.connections_max,
            connector_args={
                "keepalive_timeout": KEEPALIVE_S,
                # Nobody waits longer than that for what was sent.
                "socket_factory": socket_factory(self._answer_s),
            },
            **options,
        )


class _KeysOfAttempt:
    """In the place of a client's credentials: those of the attempt under way."""

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        keys = current.get().keys
        if keys is None:
            raise botocore.exceptions.NoCredentialsError
        return ReadOnlyCredentials(keys.access, keys.secret, keys.token)


def _denied(words: str) -> Refusal:
    return Refusal(DynamoDBError(DENIED, words, 400), ErrorMeaning.REFUSED)


_TIMED_OUT = "no complete answer in time"
_NO_CONNECTION = "no connection in time"

_NO_FILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""The botocore session variables that keep the user's AWS profile out of it."""


def _refusal(error: Any) -> Refusal:
    response: dict[str, Any] = error.response
    details: dict[str, Any] = response.get("Error") or {}
    metadata: dict[str, Any] = response.get("ResponseMetadata") or {}
    name = str(details.get("Code") or "")
    status = metadata.get("HTTPStatusCode")
    return Refusal(
        DynamoDBError(
            name,
            str(details.get("Message") or ""),
            status,
            request_id=metadata.get("RequestId"),
            reasons=response.get("CancellationReasons"),
            item=response.get("Item"),
            body=response.get(ERROR_BODY),
        ),
        meaning_of(name, status),
    )


def _silence(attempt: Attempt, error: Exception) -> Silence:
    if attempt.refused:
        return Silence("the lease to write had run out", sent=False, forbidden=True)
    if attempt.stale:
        return Silence("the connection had been closed, or was not in a state to use", sent=False)
    if attempt.foreign is not None:
        return Silence(attempt.foreign, sent=attempt.sent, foreign=True)
    if attempt.sent:
        return Silence(str(error), sent=True)
    if isinstance(error, botocore.exceptions.ParamValidationError):
        raise RequestError("ValidationException", str(error)) from error
    if isinstance(error, botocore.exceptions.BotoCoreError):
        return Silence(str(error), sent=False)
    # botocore's serializer meets a value of a wrong kind with whatever Python raises.
    raise RequestError(
        "SerializationException", f"the request cannot be encoded: {error}"
    ) from error


def _told_of(end: End) -> tuple[str, int | None]:
    """The error's name, or why there was no answer; HTTP's status."""
    match end:
        case Refusal(error=error):
            return error.name, error.status
        case Silence(reason=reason):
            return reason, None
        case _:
            return "", None


def _hand_on(request: Any, **_: Any) -> None:
    """A handler of botocore's, called once a request is signed."""
    hand_on(request.headers)

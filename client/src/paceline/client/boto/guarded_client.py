"""Looks at what a client of boto3 or aiobotocore sends and receives.

botocore takes a page with status 200 for an empty success and any status 4xx for a refusal by
DynamoDB, and it repeats writes that may have been made. aiohttp, below aiobotocore, follows
redirects.
"""

from __future__ import annotations

import copy
import inspect
import json
import socket
from collections.abc import Callable
from typing import Any, Final

from botocore.client import BaseClient
from botocore.exceptions import (
    BotoCoreError,
    CredentialRetrievalError,
    EndpointConnectionError,
    EndpointProviderError,
    HTTPClientError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from paceline.dynamodb_answers import answer_bytes_max, foreign_body, foreign_head

ANSWER_S: Final = 60.0
"""The time for the whole body of an answer; botocore's timeout is for each packet."""
READ_BYTES: Final = 64 * 1024
PREPARATION: Final = (
    CredentialRetrievalError,
    EndpointProviderError,
    MetadataRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
"""Errors of botocore from before it sends a request."""
SAID_BYTES: Final = 1000
"""So much of an error answer is quoted."""
REQUEST_TIMEOUT: Final = 408
"""Says as little about a write as a status of 500."""
NOT_CONNECTED: Final = frozenset({"NewConnectionError", "ClientConnectorError", "ConnectError"})
"""How urllib3, aiohttp and httpx say that there was no connection, so that nothing was sent.
aiobotocore makes an EndpointConnectionError also of a connection that broke after that."""


class ForeignAnswer(BotoCoreError):
    """The answer is not DynamoDB's, or not whole, so it says nothing about a write. botocore does
    not repeat a request that ends so."""

    fmt = "the answer of {endpoint_url} is not DynamoDB's: {reason}"


class NotRepeated(BotoCoreError):
    """Ends a write that may have been made: botocore does not repeat a request that ends so."""

    fmt = "{reason}"


class Sent:
    """What is known about the attempts of one call, which botocore repeats as it is configured to.

    ``once``: the call must not be sent again when an attempt may have had an effect. ``looked_at``:
    whether attempts were seen. They are not of a client that is not botocore's, nor if a handler
    (``before-send``) sends them in its own way; then only the end of the call is known.
    ``in_doubt``: why an attempt may have had an effect, or None if surely none had one.
    """

    def __init__(self, once: bool) -> None:
        self.once = once
        self.looked_at = False
        self.in_doubt: str | None = None
        self._before: str | None = None

    def attempt(self) -> None:
        """``NotRepeated`` if there must not be another one, whoever asks for it."""
        self._stop()
        self.looked_at = True
        self._before = self.in_doubt
        self.in_doubt = self.in_doubt or "it was sent"

    def answered(self, status: int, body: bytes) -> None:
        """DynamoDB's own answer, whole. A refusal says that this attempt had no effect."""
        if status < 400:
            return
        if not is_undecided(status):
            self.in_doubt = self._before
        else:
            said = body[:SAID_BYTES].decode(errors="replace")
            self.in_doubt = self._before or f"DynamoDB answered with status {status}: {said}"
            self._stop()

    def may_have_effect(self, error: Exception) -> bool:
        """Whether the call, which ended with ``error`` and no answer, may have had an effect."""
        if self.looked_at:
            return self.in_doubt is not None
        return not (isinstance(error, PREPARATION) or _was_not_sent(error))

    def failed(self, error: Exception) -> None:
        self.in_doubt = self._before if _was_not_sent(error) else self._before or str(error)
        self._stop()

    def _stop(self) -> None:
        if self.once and self.in_doubt is not None:
            raise NotRepeated(reason=self.in_doubt)


def is_undecided(status: int) -> bool:
    """Whether a write may have been made that was answered with an error of this status."""
    return status >= 500 or status == REQUEST_TIMEOUT


def _was_not_sent(error: Exception) -> bool:
    if not isinstance(error, EndpointConnectionError):
        return False
    cause = error.kwargs.get("error")
    classes = type(cause).__mro__
    return socket.gaierror in classes or any(each.__name__ in NOT_CONNECTED for each in classes)


def guarded(client: Any, clock: Callable[[], float], sent: Sent) -> Any:
    """A copy of the client for one call, whose answers are looked at; it has the same connections,
    credentials, configuration and handlers. The client itself stays as it is, as does what is not
    botocore's.
    """
    endpoint = getattr(client, "_endpoint", None)
    session = getattr(endpoint, "http_session", None)
    if not isinstance(client, BaseClient) or session is None:
        return client
    mine: Any = object.__new__(type(client))  # copy.copy asks for attributes before there are any
    mine.__dict__.update(client.__dict__)
    mine._endpoint = copy.copy(endpoint)
    mine._endpoint.http_session = GuardedSession(session, clock, sent)
    return mine


class GuardedSession:
    """An HTTP session of botocore or of aiobotocore, whose ``send`` gives an awaitable."""

    def __init__(self, session: Any, clock: Callable[[], float], sent: Sent) -> None:
        self._session = session
        self._clock = clock
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def send(self, request: Any) -> Any:
        request.stream_output = True  # else the session reads the body, however long it is
        self._sent.attempt()
        try:
            answer = self._session.send(request)
            if inspect.isawaitable(answer):
                return self._later(request, answer)
            self._read(request, answer)
        except Exception as error:
            self._sent.failed(error)
            raise
        self._sent.answered(answer.status_code, answer._content)
        return answer

    def _read(self, request: Any, answer: Any) -> None:
        body = _Body(request, answer, self._clock)
        try:
            body.begin()
            for part in answer.raw.stream(READ_BYTES):
                body.add(part)
            answer._content = body.end()
        except BotoCoreError:
            answer.raw.close()
            raise
        except Exception as error:
            answer.raw.close()
            raise HTTPClientError(error=error) from error

    async def _later(self, request: Any, awaited: Any) -> Any:
        try:
            answer = await awaited
            await self._read_later(request, answer)
        except Exception as error:
            self._sent.failed(error)
            raise
        self._sent.answered(answer.status_code, answer._content)
        return answer

    async def _read_later(self, request: Any, answer: Any) -> None:
        body = _Body(request, answer, self._clock)
        whole = False
        try:
            body.begin()
            if hasattr(answer.raw, "aiter_raw"):  # httpx
                async for part in answer.raw.aiter_raw(READ_BYTES):
                    body.add(part)
            else:
                async for part in answer.raw.content.iter_chunked(READ_BYTES):
                    body.add(part)
            answer._content = body.end()
            whole = True
        except BotoCoreError:
            raise
        except Exception as error:
            raise HTTPClientError(error=error) from error
        finally:
            if not whole:
                closed = getattr(answer.raw, "aclose", answer.raw.close)()
                if inspect.isawaitable(closed):
                    await closed


class _Body:
    """One answer as it comes in. ForeignAnswer as soon as it cannot be DynamoDB's."""

    def __init__(self, request: Any, answer: Any, clock: Callable[[], float]) -> None:
        target = request.headers.get("X-Amz-Target", "")
        target = target.decode() if isinstance(target, bytes) else target
        self._operation = target.rpartition(".")[2]
        self._bytes_max = answer_bytes_max(self._operation)
        self._request = request
        self._answer = answer
        self._clock = clock
        self._until = clock() + ANSWER_S
        self._parts: list[bytes] = []
        self._size = 0

    def begin(self) -> None:
        if getattr(self._answer.raw, "history", None):
            # aiohttp's and httpx' list of the redirects that were followed; urllib3 has a method.
            self._refuse("it came by a redirect")
        self._refuse(foreign_head(self._answer.status_code, self._answer.headers))

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._bytes_max:
            self._refuse(f"it is longer than {self._bytes_max} bytes")
        if self._clock() > self._until:
            self._refuse(f"it takes longer than {ANSWER_S:.0f} s")
        self._parts.append(part)

    def end(self) -> bytes:
        length = self._answer.headers.get("content-length", "").strip()
        if length.isdecimal() and length != str(self._size):
            self._refuse(f"it ends after {self._size} of {length[:20]} bytes")
        body = b"".join(self._parts)
        self._refuse(
            foreign_body(self._answer.status_code, self._answer.headers, body, self._operation)
        )
        # botocore makes an empty success of what is no JSON.
        try:
            json.loads(body or b"{}")
        except (ValueError, RecursionError):
            self._refuse("its body is not JSON")
        return body

    def _refuse(self, why: str | None) -> None:
        if why is not None:
            raise ForeignAnswer(endpoint_url=self._request.url, reason=why)

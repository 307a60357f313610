"""Principals' own AWS credentials: fetched when they are needed, kept until they expire.

A static key is what the principal's record says. A role is taken on with the node's credentials, by
STS; a profile is read from the node's AWS files. What those two give is fetched once for all who
wait for it, and anew before it expires.

**The account counts.** Caches know tables by their names alone, so credentials of another account
would put that account's items under the names of this one's. Each source's account has to be that
of the node's own credentials. STS tells it, which needs no rights. Of a stand-in for DynamoDB
without STS nobody can tell; it has one account.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from cluster.access.upstream import StaticKey
from node.backend.acting import Who
from node.backend.lean.signing import Keys
from paceline.clock import wall_time

_log = structlog.get_logger()

HELD_MAX = 5_000
"""As many as the log may have principals; each takes some 2 KB."""

EARLY_S = 300.0
"""So long before they expire, credentials are fetched anew. The old ones stay in use meanwhile."""

LATE_S = 30.0
"""Credentials with less left are not used: a request takes time, and clocks differ."""

FETCH_S = 10.0
"""The time for one fetch: SDKs give STS about as long."""

AGAIN_S = 1.0
"""A fetch that failed is not repeated sooner, whoever asks."""

SLOW_AGAIN_S_MAX = 64.0
"""The most that is waited after fetches of one principal's that did not end in time: twice as long
after each of them. Such a one may be a program that hangs, and is run anew."""


class NoKeys(Exception):
    """There are no credentials now; it may be otherwise a little later."""


class KeysDenied(Exception):
    """There are none for this principal, until somebody changes something."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """``until``: when they expire, or should be looked at again (seconds since the epoch). None:
    never."""

    keys: Keys
    until: float | None


class Provider(Protocol):
    async def fetch(self, who: Who) -> Fetched:
        """Raises NoKeys, KeysDenied."""

    async def aclose(self) -> None: ...


@dataclass(slots=True)
class _Held:
    fetched: Fetched | None = None
    task: asyncio.Task[None] | None = None
    failed_at: float | None = None
    failure: NoKeys | KeysDenied | None = None
    slow: int = 0
    """How many fetches in a row did not end in time."""

    @property
    def again_s(self) -> float:
        """How long after a failure nothing is fetched."""
        return min(SLOW_AGAIN_S_MAX, AGAIN_S * 2.0 ** min(self.slow, 10))


class CallerKeys:
    """One per node."""

    def __init__(self, provider: Provider, clock: Callable[[], float] = wall_time) -> None:
        self._provider = provider
        self._clock = clock
        self._held: OrderedDict[Who, _Held] = OrderedDict()

    async def of(self, who: Who) -> Keys:
        """Raises NoKeys, KeysDenied. Needs a deadline around it."""
        held = self._of(who)
        now = self._clock()
        fetched = held.fetched
        if fetched is not None and (fetched.until is None or now < fetched.until - EARLY_S):
            return fetched.keys
        if held.task is None and not self._failed_just_now(held, now):
            held.task = asyncio.get_running_loop().create_task(
                self._fetch(who, held),
                context=contextvars.Context(),  # of no request: many wait for it
            )
        if fetched is not None and fetched.until is not None and now < fetched.until - LATE_S:
            return fetched.keys
        if held.task is not None:
            await asyncio.shield(held.task)
        if held.failure is not None:
            raise held.failure.with_traceback(None)
        assert held.fetched is not None
        return held.fetched.keys

    def refused(self, who: Who, keys: Keys) -> None:
        """DynamoDB does not take ``keys``; the next request fetches them anew."""
        held = self._held.get(who)
        if held is not None and held.fetched is not None and held.fetched.keys == keys:
            held.fetched = None

    async def aclose(self) -> None:
        tasks = [held.task for held in self._held.values() if held.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._provider.aclose()

    def _of(self, who: Who) -> _Held:
        held = self._held.get(who)
        if held is None:
            held = self._held[who] = _Held()
            if len(self._held) > HELD_MAX:
                # One that is fetched goes on for those who wait for it.
                self._held.popitem(last=False)
        self._held.move_to_end(who)
        return held

    @staticmethod
    def _failed_just_now(held: _Held, now: float) -> bool:
        return held.failed_at is not None and now - held.again_s < held.failed_at <= now

    async def _fetch(self, who: Who, held: _Held) -> None:
        failure: NoKeys | KeysDenied | None = None
        slow = 0
        try:
            async with asyncio.timeout(FETCH_S):
                held.fetched = await self._provider.fetch(who)
        except (NoKeys, KeysDenied) as error:
            failure = error
        except TimeoutError:
            slow = held.slow + 1
            failure = NoKeys(f"the credentials of {who.name} did not come in time")
        except Exception as error:
            _log.exception("credentials could not be fetched", principal=who.name)
            failure = NoKeys(f"the credentials of {who.name} cannot be had: {type(error).__name__}")
        finally:
            held.task = None
        held.failure, held.slow = failure, slow
        held.failed_at = None if failure is None else self._clock()
        if failure is not None:
            _log.warning("no credentials", principal=who.name, reason=str(failure))


def static_keys(source: StaticKey) -> Keys:
    return Keys(source.id, source.secret)

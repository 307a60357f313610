"""Tells of alarms whose state has changed: by a POST to one address, or by a command, which the
operator has set.

Whoever puts an alarm says whether there are actions, and never what they do: the names of its
actions are told on, and nothing else becomes of them.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from cluster.iso_times import second_text
from discovery.cloudwatch.alarming import Change

ACTION_S: Final = 10.0
WAITING_MAX: Final = 200

_log = structlog.get_logger()


class Actions:
    """``webhook``: an address, or ""; ``command``: a program and its arguments, or nothing, which
    gets the change as JSON on its standard input."""

    def __init__(self, webhook: str, command: Sequence[str], cluster: str) -> None:
        self._webhook = webhook
        self._command = tuple(command)
        self._cluster = cluster
        self._waiting: asyncio.Queue[Change] = asyncio.Queue(WAITING_MAX)
        self._loop = asyncio.get_running_loop()

    def tell(self, change: Change) -> None:
        """From any thread."""
        if self._webhook or self._command:
            self._loop.call_soon_threadsafe(self._take, change)

    def _take(self, change: Change) -> None:
        try:
            self._waiting.put_nowait(change)
        except asyncio.QueueFull:
            _log.warning("an alarm's actions are left out", alarm=change.alarm["AlarmName"])

    async def run(self) -> None:
        """One after the other, until it is cancelled."""
        while True:
            change = await self._waiting.get()
            name = change.alarm["AlarmName"]
            try:
                async with asyncio.timeout(ACTION_S):
                    await self._done(json.dumps(told_of(change, self._cluster)).encode())
                _log.info("alarm", alarm=name, state=change.alarm["StateValue"])
            except (OSError, TimeoutError, ClientError) as error:
                _log.warning("an alarm's action failed", alarm=name, reason=repr(error))

    async def _done(self, body: bytes) -> None:
        if self._webhook:
            headers = {"Content-Type": "application/json"}
            # aiohttp's own trusts nobody (paceline_server.imports); authorities are files.
            trusted = await asyncio.to_thread(ssl.create_default_context)
            async with (
                ClientSession(timeout=ClientTimeout(ACTION_S)) as session,
                session.post(
                    self._webhook,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    ssl=trusted,
                ) as answer,
            ):
                if answer.status >= 300:
                    raise OSError(f"the webhook answered {answer.status}")
        if self._command:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE
            )
            try:
                await process.communicate(body)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if process.returncode:
                raise OSError(f"the command ended with {process.returncode}")


def told_of(change: Change, cluster: str) -> Mapping[str, Any]:
    """With the names that CloudWatch has in what it sends to topics."""
    alarm = change.alarm
    return {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AlarmArn": alarm["AlarmArn"],
        "Cluster": cluster,
        "NewStateValue": alarm["StateValue"],
        "NewStateReason": alarm["StateReason"],
        "StateChangeTime": second_text(alarm["StateTransitionedTimestamp"]),
        "OldStateValue": change.before,
        "Actions": list(change.actions),
    }

"""Follows the control plane's records, through the node whose roster is followed, and has them
changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from cluster.log import commands as c
from cluster.roster.control_feed import CHANGE, WATCH, Told, result_of, told_by
from cluster.transport.member_channels import MemberChannels
from discovery.following import Follower
from paceline.clock import now
from paceline.errors import Unavailable

RETRY_S = 0.5
CALL_S = 5.0
"""The time for one attempt at a change, of which there may be several."""


class ControlFeed:
    """``told``: the newest that any node has told; None before the first. ``source``: the address
    of the node that is followed, if any."""

    def __init__(self, source: Callable[[], str | None], channels: MemberChannels) -> None:
        self._source = source
        self._channels = channels
        self.run = Follower(source, channels, WATCH, "control records", lambda: self._heard).run
        """Until it is cancelled."""
        self._changed = asyncio.Event()
        self.told: Told | None = None

    async def changed_since(self, revision: int) -> None:
        """Returns once a later revision was told; the caller sets the deadline."""
        while self.told is None or self.told.records.revision <= revision:
            await self._changed.wait()

    async def change(self, command: c.ChangeControl, timeout_s: float) -> tuple[int, str]:
        """The revision it made, or 0 and why it was refused. Unavailable: it may still be made.

        It is proposed until somebody says how it ended: the log makes it once.
        """
        data, deadline, why = c.encode(command), now() + timeout_s, "no node was reached"
        while (left_s := deadline - now()) > 0:
            address = self._source()
            if address is not None:
                channel: Any = self._channels.open(address, use="roster")
                try:
                    call = channel.unary_unary(CHANGE)
                    return result_of(await call(data, timeout=min(CALL_S, left_s)))
                except grpc.aio.AioRpcError as error:
                    why = error.details() or error.code().name
                except ValueError as error:
                    why = str(error)
                finally:
                    await channel.close()
            await asyncio.sleep(min(RETRY_S, left_s))
        raise Unavailable(f"the change is not known to be made: {why}")

    def _heard(self, message: bytes) -> None:
        """ValueError."""
        told = told_by(message)
        if told is not None:
            self._take(told)

    def _take(self, told: Told) -> None:
        """A node that is behind the others does not undo what they have told."""
        before = self.told
        if (
            before is not None
            and before.cluster_id == told.cluster_id
            and told.records.revision < before.records.revision
        ):
            return
        self.told = told
        self._changed.set()
        self._changed = asyncio.Event()

"""The control plane's records for discovery processes, and the changes that these propose, at the
port of members.

``Watch``: a stream of messages in msgpack: the cluster's id, ``ControlRecords.fields``, and what
the node says of itself; at once, and after each change. An empty message says that nothing has
changed. ``Change``: a ``ChangeControl`` as the log has it; the answer is the revision that it made,
or 0 and why it was refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import msgpack

from cluster.log import commands as c
from cluster.log.control_records import ControlRecords
from cluster.log.state import CommandResult, ReplicatedState
from cluster.roster.looking import Notice, Watch, looked_at
from paceline.errors import Unavailable

SERVICE = "paceline.v1.Control"
WATCH, CHANGE = f"/{SERVICE}/Watch", f"/{SERVICE}/Change"

CHANGE_S = 10.0
"""The time for one change: a leader may have to be elected first."""

Facts = Mapping[str, int]
"""What a node says of itself: ``bytes_max``, ``record_ttl_millis``, ``query_ttl_millis``."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a node has told."""

    cluster_id: str
    records: ControlRecords
    facts: Facts


def add_control(
    state: Callable[[], ReplicatedState],
    commit: Callable[[c.Command, float], Awaitable[CommandResult]],
    facts: Facts,
    watch_state: Watch,
) -> Callable[[Any], None]:
    """For ``MembersServer.add``. ``commit``: Unavailable if its outcome is not known."""
    notice = Notice(lambda: state().control.revision, watch_state)

    async def watch(_: bytes, context: Any) -> AsyncIterator[bytes]:
        told: int | None = None

        def changed() -> list[bytes]:
            nonlocal told
            now = state()
            if not now.cluster_id or now.control.revision == told:
                return []
            told = now.control.revision
            return [message_of(Told(now.cluster_id, now.control, facts))]

        async for message in looked_at(changed, notice):
            yield message

    async def change(data: bytes, context: Any) -> bytes:
        command = c.decode(data)
        if not isinstance(command, c.ChangeControl):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no change of the control plane")
            raise AssertionError("abort raises")
        try:
            result = await commit(command, CHANGE_S)
        except Unavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise AssertionError("abort raises") from None
        answer: bytes = msgpack.packb([result.value if result.ok else 0, result.reason])
        return answer

    handler = grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Watch": grpc.unary_stream_rpc_method_handler(watch),
            "Change": grpc.unary_unary_rpc_method_handler(change),
        },
    )
    return lambda server: server.add_generic_rpc_handlers((handler,))


def message_of(told: Told) -> bytes:
    data: bytes = msgpack.packb([told.cluster_id, told.records.fields(), dict(told.facts)])
    return data


def told_by(message: bytes) -> Told | None:
    """None: nothing has changed. ValueError for what is no such message."""
    if not message:
        return None
    try:
        cluster_id, fields, facts = msgpack.unpackb(message)
        if not isinstance(cluster_id, str) or not isinstance(facts, dict):
            raise TypeError("a cluster's id and a node's facts expected")
        known = {str(name): int(fact) for name, fact in facts.items()}
        return Told(cluster_id, ControlRecords.from_fields(fields), known)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"no records of a control plane: {error!r}") from error


def result_of(answer: bytes) -> tuple[int, str]:
    """The revision, and why the change was refused, or an empty text. ValueError."""
    try:
        revision, reason = msgpack.unpackb(answer)
        return int(revision), str(reason)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"no result of a change: {error!r}") from error

"""Requests of DynamoDB's JSON API in frames of the DAX protocol (docs/dax-protocol.md section 14).

They take the very way of those that come by HTTP; only the envelope differs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from cluster.access.calling import call
from cluster.transport.large_work import INLINE_BYTES_MAX, LargeWork
from node.frontends.json_api.handler import JsonHandler
from node.frontends.json_api.replies import error_reply
from node.frontends.json_api.request import BODY_BYTES_MAX, JsonRequest
from node.operations import Operations
from paceline.clock import now
from paceline.dax.request_types import RawRequest
from paceline.dax.responses import RawReply, raw_reply

REPLY_INLINE_BYTES_MAX = 256 * 1024
"""Larger replies are put together off the loop."""

_log = structlog.get_logger()


def raw_requests(
    operations: Operations, large_work: LargeWork
) -> Callable[[RawRequest], Awaitable[bytes]]:
    """Returns a function that gives the whole reply, whatever happens."""
    handler = JsonHandler(operations, now, large_work)

    async def answer(raw: RawRequest) -> bytes:
        calling = call.get()
        request = JsonRequest(raw.target, raw.body, caller=None if calling is None else calling.by)
        large = len(raw.body) > INLINE_BYTES_MAX
        try:
            if len(raw.body) > BODY_BYTES_MAX:
                reply = error_reply(
                    "RequestEntityTooLargeException", "Request larger than 16 MB", 413
                )
            else:
                if large:
                    await large_work.admitted()
                    await large_work.run(partial(handler.read, request))
                reply = handler.fast(request) or await handler.handle(request)
        except Exception:
            _log.exception("a raw request failed", target=raw.target)
            reply = handler.failed(request)
        finally:
            if large:
                large_work.let_go(request.taken_apart())
        told = RawReply(reply.status, reply.body, reply.cache, reply.request_id)
        large = len(reply.body) > REPLY_INLINE_BYTES_MAX
        return await large_work.run_if(large, partial(raw_reply, told))

    return answer

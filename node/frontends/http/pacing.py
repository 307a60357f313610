"""Whether a caller by HTTP has asked too often, where that is bounded."""

from __future__ import annotations

from cluster.transport.restraint import Restraint
from node.frontends.http.messages import HttpRequest
from node.frontends.json_api.replies import HttpReply, reply_of


def too_often(restraint: Restraint | None, address: str, request: HttpRequest) -> HttpReply | None:
    """The reply to a request that comes too soon. Asked twice, it counts once."""
    if restraint is None or request.paced:
        return None
    request.paced = True
    if restraint.admits(address, request.caller):
        return None
    return reply_of(restraint.too_many())

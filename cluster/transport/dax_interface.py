"""The interface between the DAX listeners and what answers their requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cluster.access.signatures.verification import Verified
from cluster.roster.endpoints import AddressFamily
from cluster.transport import served_connection
from cluster.transport.dax_callers import DaxCaller, DaxCallers
from paceline.dax.elements import REQUEST_ELEMENTS_MAX
from paceline.dax.family import Family
from paceline.dax.request_types import Request
from paceline.errors import NotSent

TOO_MANY_VALUES = (
    f"The request holds more than {REQUEST_ELEMENTS_MAX} values; split it, or store lists of small "
    "values in fewer, larger ones"
)
NO_ROOM = NotSent("this node has no memory for so large a request now: try again")
GOODBYE = NotSent("this node is stopping, so nothing was done; ask another one")


@dataclass(slots=True)
class ConnectionInfo:
    """Who is asking, and where: known from the connection, not from the request.

    ``family``: of the local address that the client connected to; rosters answer in it.
    ``user_agent`` is empty before the preamble, ``access_key_id`` before an authorization.
    ``large``: the request under way has so many values that it must not be decoded on the loop.
    ``caller``: who has signed; None where nobody has to.
    """

    listener: str
    family: AddressFamily
    tls: bool
    peer: str
    user_agent: str = ""
    client: Family = Family.UNKNOWN
    access_key_id: str = ""
    large: bool = False
    caller: DaxCaller | None = None


class Handler(Protocol):
    def fast(self, data: bytes, by: Verified | None = None) -> bytes | None:
        """The complete reply, if ``data`` (one chunk as received) is exactly one request that
        can be answered now and without waiting, and its client may have that; else None, and
        nothing has happened. ``by``: who that is; None where nobody has to sign."""

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        """The complete reply. A PacelineError is encoded for the client; any other exception
        is logged and reported as an internal error, of a write as an unknown outcome.

        A read is cancelled when its client disconnects; anything else only when the server is
        aborted.
        """


class Host(served_connection.Host, Protocol):
    handler: Handler
    callers: DaxCallers | None
    """None: nobody has to say who he is."""

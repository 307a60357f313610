"""In whose name writes go to DynamoDB, where each caller's do with his own credentials.

The node that a client is connected to knows who that is; DynamoDB is asked by the primary. A member
says so to it with each write that it forwards, at a port where members show certificates. What the
primary does with the name is its own: it looks up the principal, as it knows it, and takes nobody's
credentials but that one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.access.counting import DENIED
from cluster.access.denied import Denied
from cluster.access.principals import CERTIFICATE, ROLE, TEMPORARY
from cluster.access.roles import IN_LOG
from cluster.access.sessions import Known
from node.backend.acting import Actor, acting, acting_as, actor_of, actor_of_role
from node.replication.wire import By
from paceline.errors import NotSent, RequestError

_OTHERWISE = (
    "; PACELINE_ACCESS__UPSTREAM_CREDENTIALS has to be the same on all nodes, and all of a release "
    "that knows it. Nothing was sent, it is safe to try again"
)


class ForwardedCallers:
    """``principals``: as this node knows them."""

    def __init__(self, principals: Known) -> None:
        self._principals = principals

    def by(self) -> By | None:
        """Whose write is under way here, for the node that is to do it; None: nobody's, and then
        it is not done."""
        actor = acting.get()
        return None if actor is None else By(actor.who.name, actor.key_id)

    @contextmanager
    def acting_as(self, by: By) -> Iterator[None]:
        """RequestError for a principal that may not call any more, or its key. NotSent for a key,
        or a role, that is not the one that is known here: the name might be another one's, by
        another file of principals. Of a temporary key the other node has seen the token that it is
        found by; this one never does.
        """
        try:
            is_session = by.principal.startswith(IN_LOG)
            actor = self._session(by) if is_session else self._user(by)
        except Denied as denied:
            raise RequestError(denied.error_name, denied.message, denied.http_status) from None
        with acting_as(actor):
            yield

    def _user(self, by: By) -> Actor:
        by_certificate = by.key_id == CERTIFICATE + by.principal
        principal = self._principals.principal(by.principal)
        key = None if by_certificate else self._principals.key(by.key_id)
        if (
            principal is None
            or principal.disabled
            or (key is not None and (key.disabled or key.principal != by.principal))
        ):
            raise _no_more(by)
        if key is None and not by_certificate and not by.key_id.startswith(TEMPORARY):
            raise NotSent(
                f"the primary does not know the key {by.key_id} of {by.principal}, or not yet; "
                "nothing was sent, it is safe to try again"
            )
        return actor_of(principal, by.key_id)

    def _session(self, by: By) -> Actor:
        role = self._principals.role(by.principal.removeprefix(IN_LOG))
        if role is None or role.disabled:
            raise _no_more(by)
        if by.key_id != ROLE + role.id:
            raise NotSent(
                f"the primary knows another {by.principal} than the one whose session this is; "
                "nothing was sent, it is safe to try again"
            )
        return actor_of_role(role)


def _no_more(by: By) -> RequestError:
    return RequestError(DENIED, f"{by.principal} may not call any more")


@contextmanager
def forwarded_by(by: By | None, callers: ForwardedCallers | None) -> Iterator[None]:
    """What a write runs in that another node forwarded. NotSent where the two do not agree whose
    credentials are to be used."""
    if callers is None:
        if by is not None:
            raise NotSent(
                "the primary writes with credentials of its own, not callers'" + _OTHERWISE
            )
        yield
        return
    if by is None:
        raise NotSent(
            "the primary writes with callers' credentials, and the node that forwarded this write "
            "does not say whose" + _OTHERWISE
        )
    with callers.acting_as(by):
        yield

"""Who calls by a DAX connection, and whether he still may.

A connection is verified by the signature in front of its first request, and again by each later
one, which replaces it (docs/dax-protocol.md section 2.1). A signature that is refused takes away
what the connection had: the request behind it gets the refusal as its one reply.
"""

from __future__ import annotations

from collections.abc import Callable

from cluster.access.audit import of_stranger
from cluster.access.calling import Call, call
from cluster.access.client_certificates import Certificate, check_same, read, verified_by
from cluster.access.counting import Refusals
from cluster.access.denied import Denied
from cluster.access.principals import Principals
from cluster.access.signatures.dax import as_dax_error, authorize, check_authorized
from cluster.access.signatures.refusals import THROTTLING
from cluster.access.signatures.verification import Rules, Verified, checked_again
from cluster.transport.restraint import Restraint
from paceline.clock import wall_time
from paceline.dax.errors import AuthenticationError
from paceline.dax.request_types import Authorize
from paceline.errors import NotSent, ProtocolError

Fast = Callable[[bytes, Verified], bytes | None]
"""``fast`` of ``dax_interface.Handler``."""

SIGNATURES_MAX = 16
"""In front of one request: clients send one."""


class DaxCallers:
    """Of all connections of one program."""

    def __init__(
        self,
        principals: Principals,
        rules: Rules,
        clock: Callable[[], float] = wall_time,
        refusals: Refusals | None = None,
        restraint: Restraint | None = None,
    ) -> None:
        self._refusals = refusals or Refusals()
        self._restraint = restraint or Restraint()
        self._principals = principals
        self._rules = rules
        self._clock = clock

    def caller(self, fast: Fast) -> DaxCaller:
        """Of a new connection, whose requests ``fast`` answers."""
        return DaxCaller(
            fast, self._principals, self._rules, self._clock, self._refusals, self._restraint
        )


class DaxCaller:
    """One connection's."""

    __slots__ = (
        "_certificate",
        "_claimed",
        "_clock",
        "_fast",
        "_principals",
        "_refusals",
        "_refused",
        "_restraint",
        "_rules",
        "_signatures",
        "_version",
        "verified",
    )

    def __init__(
        self,
        fast: Fast,
        principals: Principals,
        rules: Rules,
        clock: Callable[[], float],
        refusals: Refusals,
        restraint: Restraint,
    ) -> None:
        self._fast = fast
        self._restraint = restraint
        self._refusals = refusals
        self._principals = principals
        self._version = principals.version
        self._rules = rules
        self._clock = clock
        self._refused: Denied | None = None
        self._certificate: Certificate | None = None
        self._claimed: Authorize | None = None
        """The last signature, whatever that proved."""
        self._signatures = 0
        """Since the last request."""
        self.verified: Verified | None = None
        """Who has signed last; what ``refusal`` says of it is what counts."""

    def show(self, certificate: bytes) -> None:
        """The connection has shown a certificate (DER) that is verified: it is that principal, and
        what it signs has to be signed by the same one."""
        self._certificate = read(certificate)
        try:
            self.verified = verified_by(self._certificate, self._principals, self._clock())
        except Denied as denied:
            self._refused = denied

    def sign(self, signed: Authorize, address: str = "") -> None:
        """The connection shows a signature. ProtocolError for one behind many others: clients send
        one in front of a request, and each takes as long as some requests."""
        self._signatures += 1
        if self._signatures > SIGNATURES_MAX:
            raise ProtocolError("a connection is signed once for a request, not again and again")
        self._claimed = signed
        self._judge(signed, address)

    def _judge(self, signed: Authorize, address: str) -> None:
        self.verified = self._refused = None
        try:
            self._restraint.check_address(address, lambda: signed.access_key)
            now = self._clock()
            verified = authorize(signed, self._principals, self._rules, now)
            if self._certificate is not None:
                check_same(self._certificate, verified, self._principals, now)
            self.verified = verified
        except Denied as denied:
            self._refused = denied
            self._restraint.failed(address, denied)
        else:
            self._restraint.proved(address, signed.access_key)

    def calls(self, address: str, agent: str, *, secure: bool) -> None:
        """The task that it is called in serves the connection's request."""
        if self.verified is not None:
            call.set(Call(self.verified, address, secure, agent, "dax"))

    def answered(self, data: bytes) -> bytes | None:
        """The reply to the connection's next request, if that may be answered at once."""
        found = self.verified
        if found is None or self._clock() >= found.valid_until:
            return None
        if found.version != self._version():
            if self._denied() is not None or self.verified is None:
                return None
            found = self.verified
        reply = self._fast(data, found)
        if reply is not None:
            self._signatures = 0
        return reply

    def refusal(
        self, address: str = "", operation: str = ""
    ) -> AuthenticationError | NotSent | None:
        """What the connection's next request is answered with, if it is not signed well enough, or
        its key is not what it was."""
        self._signatures = 0
        if self._claimed is not None and _is_kept_out(self._refused):
            self._judge(self._claimed, address)  # clients do not sign anew for that
        denied = self._denied()
        if denied is None:
            return None
        self._refusals.refused(
            of_stranger(
                "dax",
                operation,
                denied.error_name,
                principal="" if self.verified is None else self.verified.principal.arn,
                access_key_id=self._key_id(),
                address=address,
            )
        )
        return as_dax_error(denied)

    def _key_id(self) -> str:
        """What the connection says of itself."""
        if self._claimed is not None:
            return self._claimed.access_key
        return "" if self._certificate is None else self._certificate.key.id

    def _denied(self) -> Denied | None:
        if self._refused is not None:
            return self._refused
        found, now = self.verified, self._clock()
        try:
            check_authorized(found, now)
            if found is not None:
                self.verified = checked_again(found, self._principals, now)
        except Denied as denied:
            return denied
        return None


def _is_kept_out(denied: Denied | None) -> bool:
    return denied is not None and denied.error_name == THROTTLING

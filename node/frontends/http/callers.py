"""Who has signed a request, where all have to sign: found before anything is done about it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256

from cluster.access.audit import AuditEvent, claimed_key_id, of_stranger
from cluster.access.calling import Call, call
from cluster.access.client_certificates import Certificate, check_same, read, verified_by
from cluster.access.counting import Refusals
from cluster.access.denied import Denied
from cluster.access.principals import Principals
from cluster.access.signatures.alike import Alike, alike
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import Rules, Verified, verify
from cluster.transport.large_work import INLINE_BYTES_MAX, LargeWork
from cluster.transport.restraint import Restraint
from node.frontends.http.known_heads import Known
from node.frontends.http.messages import HttpRequest, is_unsigned
from node.frontends.json_api.replies import HttpReply, error_reply


class Callers:
    """One per server. The signing keys that are kept belong to known principals only.

    ``wall_clock``: seconds since the epoch.
    """

    def __init__(
        self,
        principals: Principals,
        rules: Rules,
        wall_clock: Callable[[], float],
        large_work: LargeWork | None = None,
        refusals: Refusals | None = None,
        restraint: Restraint | None = None,
    ) -> None:
        self._refusals = refusals or Refusals()
        self._restraint = restraint or Restraint()
        self._principals = principals
        self._rules = rules
        self._wall_clock = wall_clock
        self._large_work = large_work or LargeWork()
        self._keys = SigningKeys()

    def refused(self, request: HttpRequest, address: str) -> HttpReply | None:
        """None: ``request.caller`` is who has signed it. ``request.body`` is as it came."""
        return self._refused(request, sha256(request.body).hexdigest(), address)

    async def refused_later(
        self, request: HttpRequest, address: str, secure: bool
    ) -> HttpReply | None:
        """The same of a request of any size, which the task that this is called in serves then: it
        is one of its caller's (``calling.call``)."""
        if request.caller is None and len(request.body) <= INLINE_BYTES_MAX:
            refused = self.refused(request, address)
        elif request.caller is None:
            await self._large_work.admitted()
            digest = await self._large_work.run(partial(sha256, request.body))
            refused = self._refused(request, digest.hexdigest(), address)
        else:
            refused = None
        if request.caller is not None:
            agent = request.headers.get(b"user-agent", b"").decode("latin-1")
            call.set(Call(request.caller, address, secure, agent, "http", _id_of(request)))
        return refused

    def _refused(self, request: HttpRequest, body_sha256: str, address: str) -> HttpReply | None:
        try:
            signed = _signed(request, body_sha256)
            now = self._wall_clock()
            self._restraint.check_address(address, lambda: _claimed(request))
            if request.certificate is None:
                caller = verify(signed, self._principals, self._rules, self._keys, now)
            else:
                caller = self._shown(request, read(request.certificate), signed, now)
        except Denied as denied:
            self._restraint.failed(address, denied)
            self._refusals.refused(_event(request, denied, address))
            return error_reply(denied.error_name, denied.message, denied.http_status)
        self._restraint.proved(address, caller.key.id)
        request.caller = caller
        return None

    def _shown(
        self, request: HttpRequest, shown: Certificate, signed: SignedRequest, now: float
    ) -> Verified:
        """Of a connection with a certificate: a signature need not be there. Denied."""
        if is_unsigned(request.path, request.headers):
            return verified_by(shown, self._principals, now)
        caller = verify(signed, self._principals, self._rules, self._keys, now)
        check_same(shown, caller, self._principals, now)
        return caller

    def proof(self, request: HttpRequest, names: tuple[bytes, ...]) -> Alike | None:
        """What requests have to show that differ from this one in ``names`` alone."""
        if request.caller is None:
            return None
        signed = _signed(request, "")
        return alike(signed, names, request.caller, self._rules, self._keys)

    def caller_of(self, known: Known) -> Verified | None:
        """Who has signed a request with a known head. None if that is not sure: then it goes the
        long way."""
        body, values, proof = known
        if proof is None:
            return None
        signed = proof.is_signed(values, body, self._principals, self._wall_clock())
        return proof.verified if signed else None


def _signed(request: HttpRequest, body_sha256: str) -> SignedRequest:
    path, _, query = request.path.partition("?")
    return SignedRequest(
        request.method,
        path.encode("latin-1"),
        query.encode("latin-1"),
        (*request.repeated, *request.headers.items()),
        body_sha256,
    )


def _claimed(request: HttpRequest) -> str:
    """The access key of the signature, which proves nothing yet."""
    authorization = request.headers.get(b"authorization", b"").decode("latin-1")
    return claimed_key_id(authorization or request.path.replace("%2F", "/"))


def _event(request: HttpRequest, denied: Denied, address: str) -> AuditEvent:
    return of_stranger(
        "http",
        request.operation,
        denied.error_name,
        access_key_id=_claimed(request),
        address=address,
        request_id=_id_of(request),
    )


def _id_of(request: HttpRequest) -> str:
    """The client's own: the same for all attempts at a request, and in its SDK's log."""
    return request.headers.get(b"amz-sdk-invocation-id", b"").decode("latin-1")

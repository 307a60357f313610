"""Who has signed a request to a service. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from cluster.access import audit
from cluster.access.calling import Call
from cluster.access.denied import Denied
from cluster.access.principals import Principals
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import Rules, Verified, verify
from discovery.services.requests import ServiceRequest
from discovery.services.router import scope_of
from paceline.errors import RequestError


def claimed_key_id(request: ServiceRequest) -> str:
    """The access key of the signature, which proves nothing yet."""
    presigned = request.query.replace("%2F", "/")
    return audit.claimed_key_id(request.header("authorization") or presigned)


PROTOCOL: Final = "http"
"""As the audit log has it."""

GLOBAL_REGION = "us-east-1"
"""For which SDKs sign what they send to the endpoint of no region."""


class Restraint(Protocol):
    """Of those who guess, or ask too often: ``cluster.transport.restraint``."""

    limits_requests: bool

    def check_address(self, address: str, key_of: Callable[[], str]) -> None: ...

    def failed(self, address: str, denied: Denied) -> None: ...

    def proved(self, address: str, key_id: str) -> None: ...

    def admits(self, address: str, by: Verified | None) -> bool: ...

    def too_many(self) -> RequestError: ...


class ServiceCallers:
    """One for all services: signing keys are kept. ``known``: whether the principals are, yet; who
    asks before shall try again, and not take himself for a stranger."""

    def __init__(
        self,
        principals: Principals,
        region: str,
        restraint: Restraint | None = None,
        known: Callable[[], bool] = lambda: True,
    ) -> None:
        self._restraint = restraint
        self._known = known
        self._principals = principals
        self._region = region
        self._keys = SigningKeys()

    def verify(self, request: ServiceRequest, service: str, now: float) -> Call:
        """``service``: the one that has to be signed for. Denied: by DynamoDB's names of errors."""
        if not self._known():
            raise Denied(
                "ServiceUnavailable",
                "Discovery has not heard yet who may call: it reaches no node. Try again.",
                503,
            )
        scope = scope_of(request)
        region = GLOBAL_REGION if scope is not None and scope[0] == GLOBAL_REGION else self._region
        signed = SignedRequest.of(request.method, request.target, request.headers, request.body)
        rules = Rules(region, service)
        if self._restraint is not None:
            self._restraint.check_address(request.address, lambda: claimed_key_id(request))
        try:
            by = verify(signed, self._principals, rules, self._keys, now)
        except Denied as denied:
            if self._restraint is not None:
                self._restraint.failed(request.address, denied)
            raise
        if self._restraint is not None:
            self._restraint.proved(request.address, by.key.id)
            if self._restraint.limits_requests and not self._restraint.admits(request.address, by):
                too_many = self._restraint.too_many()
                raise Denied(too_many.name, too_many.message)
        agent = request.header("user-agent")
        return Call(by, request.address, request.secure, agent, PROTOCOL, request.id)

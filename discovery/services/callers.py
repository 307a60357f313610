"""Who has signed a request to a service. Pure."""

from __future__ import annotations

from cluster.access.calling import Call
from cluster.access.principals import Principals
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import Rules, verify
from discovery.services.requests import ServiceRequest
from discovery.services.router import scope_of

GLOBAL_REGION = "us-east-1"
"""For which SDKs sign what they send to the endpoint of no region."""


class ServiceCallers:
    """One for all services: signing keys are kept."""

    def __init__(self, principals: Principals, region: str) -> None:
        self._principals = principals
        self._region = region
        self._keys = SigningKeys()

    def verify(self, request: ServiceRequest, service: str, now: float) -> Call:
        """``service``: the one that has to be signed for. Denied: by DynamoDB's names of errors."""
        scope = scope_of(request)
        region = GLOBAL_REGION if scope is not None and scope[0] == GLOBAL_REGION else self._region
        signed = SignedRequest.of(request.method, request.target, request.headers, request.body)
        rules = Rules(region, service)
        by = verify(signed, self._principals, rules, self._keys, now)
        return Call(by, request.address, request.secure, request.header("user-agent"))

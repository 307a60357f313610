"""Who calls by gRPC. Each call is signed, before its message is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from cluster.access.audit import claimed_key_id, of_stranger
from cluster.access.calling import Call, call
from cluster.access.client_certificates import check_same, read, verified_by
from cluster.access.counting import Refusals
from cluster.access.denied import Denied
from cluster.access.principals import Principals
from cluster.access.signatures import refusals
from cluster.access.signatures.grpc_calls import request_of
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import Rules, checked_again, same, verify
from cluster.transport.restraint import Restraint
from paceline.clock import wall_time

BODY_HASH = "x-amz-content-sha256"

OPEN_SERVICES = ("/grpc.health.v1.Health/",)
"""What anybody may ask: whether the server is well."""


class GrpcCallers:
    """Of all servers of one program."""

    def __init__(
        self,
        principals: Principals,
        rules: Rules,
        clock: Callable[[], float] = wall_time,
        counted: Refusals | None = None,
        restraint: Restraint | None = None,
    ) -> None:
        self._restraint = restraint or Restraint()
        self.counted = counted or Refusals()
        self._principals = principals
        self._rules = rules
        self._clock = clock
        self._keys = SigningKeys()

    def verify(
        self,
        method: str,
        metadata: Any,
        address: str,
        *,
        secure: bool = False,
        certificate: bytes | None = None,
    ) -> str | None:
        """Sets ``calling.call``; returns the hash that the call's message has to have, which is a
        part of what was signed. So a stranger's message is not read at all. ``certificate``: what
        the connection has shown, verified, in PEM; with it, None for a call without a signature.
        Denied."""
        agent = next((str(v) for name, v in metadata or () if name == "user-agent"), "")
        shown = None if certificate is None else read(certificate)
        if shown is not None:
            by = verified_by(shown, self._principals, self._clock())
            if not _is_signed(metadata):
                call.set(Call(by, address, secure, agent, "grpc"))
                return None
        claimed = [value for name, value in metadata or () if name == BODY_HASH]
        request = request_of(method, metadata or (), b"")
        if len(claimed) == 1 and isinstance(claimed[0], str):
            request = replace(request, body_sha256=claimed[0])
        now = self._clock()
        try:
            self._restraint.check_address(address, lambda: _claimed(metadata))
            found = verify(request, self._principals, self._rules, self._keys, now)
            if shown is not None:
                check_same(shown, found, self._principals, now)
        except Denied as denied:
            self._restraint.failed(address, denied)
            raise
        self._restraint.proved(address, found.key.id)
        call.set(Call(found, address, secure, agent, "grpc"))
        return request.body_sha256

    def check_still(self) -> None:
        """Of a call that goes on for long, in the task that serves it: before it tells more.
        Denied: who has made it may not do so any more."""
        by = call.get()
        assert by is not None, "it was verified"
        if by.by.version != self._principals.version() or by.by.key.expires_at is not None:
            checked_again(by.by, self._principals, self._clock())

    def refused(self, denied: Denied, method: str, metadata: Any, address: str) -> None:
        """Counts a call that was refused."""
        operation = method.rpartition("/")[2]
        self.counted.refused(
            of_stranger(
                "grpc",
                operation,
                denied.error_name,
                access_key_id=_claimed(metadata),
                address=address,
            )
        )

    @staticmethod
    def check_message(message: bytes, claimed: str) -> None:
        """Denied: another message was signed."""
        if not same(sha256(message).hexdigest(), claimed):
            raise refusals.mismatch()


def _is_signed(metadata: Any) -> bool:
    """Whether any part of a signature is there."""
    return any(name == "authorization" or name.startswith("x-amz-") for name, _ in metadata or ())


def _claimed(metadata: Any) -> str:
    """The access key of the signature, which proves nothing yet."""
    signed = [str(value) for name, value in metadata or () if name == "authorization"]
    return claimed_key_id(signed[0]) if signed else ""

"""What clients sign, and what a node's doors make of it before anything is done: as its servers do
it, without their sockets."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cluster.access.denied import Denied
from cluster.access.signatures.alike import Alike
from cluster.transport.dax_callers import DaxCaller
from node.frontends.http.messages import HttpRequest
from node.frontends.json_api.replies import HttpReply
from paceline.auth.grpc_calls import sign_call
from paceline.auth.sigv4 import sign_dax, signing_key
from paceline.clock import wall_time
from paceline.dax.errors import encode_error
from paceline.dax.request_types import Authorize
from paceline.errors import DynamoDBError

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode

REGION = "us-east-1"
SIGN_AGAIN_S = 150.0
"""As the clients for Python and JavaScript do."""

FREE = (b"authorization", b"x-amz-date")
"""What differs between the requests of a client that are alike."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a caller has of an access key; botocore's credentials have the same."""

    access_key: str
    secret_key: str
    token: None = None


@dataclass
class _Connection:
    caller: DaxCaller
    key: Key | None = None
    signed_at: float = 0.0


@dataclass
class Identity:
    """Of one client. ``key`` is taken for the next connection, and for each request else."""

    name: str
    key: Key
    connections: dict[str, _Connection] = field(default_factory=dict)
    """By DAX, to each process."""
    proofs: dict[str, Alike] = field(default_factory=dict)
    """What requests like one that was verified have to show, at each process."""
    used: str = ""
    """The id of the key that the last request was signed with."""

    # -- DAX --------------------------------------------------------------------------------------

    def dax(self, node: SimulatedNode) -> DaxCaller:
        """The connection's caller, which has shown a signature if it was time for one."""
        callers = node.access.dax
        assert callers is not None
        connection = self.connections.get(node.name)
        if connection is None:
            connection = self.connections[node.name] = _Connection(callers.caller(node.dax.fast))
        now = wall_time()
        if connection.key is None or now >= connection.signed_at + SIGN_AGAIN_S:
            key = connection.key = connection.key or self.key
            connection.signed_at = now
            signed = sign_dax(key.secret_key, REGION, datetime.fromtimestamp(now, UTC))
            connection.caller.sign(
                Authorize(key.access_key, signed.signature, signed.string_to_sign, None, None)
            )
        self.used = connection.key.access_key
        return connection.caller

    def leave(self, node: SimulatedNode) -> None:
        """The next request comes by another connection."""
        self.connections.pop(node.name, None)

    def refused_by_dax(self, node: SimulatedNode, caller: DaxCaller) -> bytes | None:
        """What a request gets that is not answered at once; None: it is served, in this task."""
        refusal = caller.refusal()
        if refusal is not None:
            self.leave(node)
            return encode_error(refusal)
        caller.calls("client", "", secure=False)
        return None

    # -- HTTP -------------------------------------------------------------------------------------

    def request(self, target: str, body: bytes) -> HttpRequest:
        at = _date()
        headers = {
            b"host": b"paceline",
            b"x-amz-date": at.encode(),
            b"x-amz-target": target.encode(),
        }
        names = ";".join(name.decode() for name in headers)
        lines = "".join(f"{n.decode()}:{v.decode()}\n" for n, v in headers.items())
        canonical = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
        scope = f"{at[:8]}/{REGION}/dynamodb/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = signing_key(self.key.secret_key, at[:8], REGION, "dynamodb")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        self.used = self.key.access_key
        headers[b"authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.used}/{scope}, SignedHeaders={names},"
            f" Signature={signature}"
        ).encode()
        return HttpRequest(target, body, headers=headers)

    def form(self, node: SimulatedNode, request: HttpRequest, bytes_max: int) -> bytes | None:
        """The answer to one that is like one that this process has verified."""
        proof = self.proofs.get(node.name)
        if proof is None or proof.verified.key.id != self.used:
            return None
        signature = request.headers[b"authorization"].rpartition(b"Signature=")[2]
        known = (request.body, (signature, request.headers[b"x-amz-date"]), proof)
        caller = node.http_callers.caller_of(known)
        return None if caller is None else node.http.form(request.body, bytes_max, caller)

    def refused_by_http(self, node: SimulatedNode, request: HttpRequest) -> HttpReply | None:
        refused: HttpReply | None = node.http_callers.refused(request, "client")
        if refused is None:
            proof = node.http_callers.proof(request, FREE)
            if proof is not None:
                self.proofs[node.name] = proof
        return refused

    # -- gRPC -------------------------------------------------------------------------------------

    def call(self, node: SimulatedNode, method: str, message: bytes) -> None:
        """Lets the task that this is called in serve the call. DynamoDBError."""
        self.used = self.key.access_key
        metadata: Any = sign_call(
            self.key, REGION, method, message, datetime.fromtimestamp(wall_time(), UTC)
        )
        callers = node.access.grpc
        assert callers is not None
        try:
            callers.check_message(message, callers.verify(method, metadata, "client"))
        except Denied as denied:
            raise DynamoDBError(denied.error_name, denied.message, 400) from None


def _date() -> str:
    return datetime.fromtimestamp(wall_time(), UTC).strftime("%Y%m%dT%H%M%SZ")

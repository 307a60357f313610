"""Asks a server, synchronously, for its health, its status, or the roster that it gives out.

They serve start-up, ``paceline status`` and container health checks, so they use the standard
library and bytes: nothing here waits longer than it was told.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from paceline.errors import ConfigError, DynamoDBError, PacelineError, Unavailable

if TYPE_CHECKING:
    from paceline.dax.responses import Endpoint

PROBE_S = 1.0
"""An answer on loopback that takes longer is as good as none."""
BODY_BYTES_MAX = 4 * 1024 * 1024


def http_request(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout_s: float = PROBE_S,
) -> tuple[int, bytes]:
    """(status, body) of one request without proxies or redirects; Unavailable if none came."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url!r} is no http or https URL")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read(BODY_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{url} does not answer: {_reason(error)}") from error
    finally:
        connection.close()


NOT_SIGNED = "MissingAuthenticationTokenException"
_WELL = (b"ready\n", b"ok\n")
_WELL_AS_DYNAMODB = b"healthy: dynamodb."
"""The beginning of what the root of a node's HTTP port answers."""


def http_ok(url: str, timeout_s: float = PROBE_S) -> str | None:
    """None if ``url`` answers 200, and as a node, discovery or the embedded DynamoDB does; else why
    not."""
    try:
        status, body = http_request("GET", url, timeout_s=timeout_s)
    except Unavailable as error:
        return str(error)
    if status == http.client.OK:
        if body in _WELL or body.startswith(_WELL_AS_DYNAMODB) or is_embedded_dynamodb(body):
            return None
        return f"{url} answers 200, but not as a node or discovery does: /readyz and /healthz tell"
    return f"{url} answers {status}: {body[:200].decode('utf-8', 'replace').strip()}"


def is_embedded_dynamodb(body: bytes) -> bool:
    """Whether it is the answer of a ministack that serves DynamoDB to ``/_ministack/health``."""
    try:
        return "dynamodb" in json.loads(body)["services"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


class WantsToken(Unavailable):
    """It answers those who show its token."""


def get_json(
    url: str, timeout_s: float = PROBE_S, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object at ``url``; Unavailable if there is none."""
    status, body = http_request("GET", url, headers=headers, timeout_s=timeout_s)
    if status == http.client.UNAUTHORIZED:
        raise WantsToken(
            f"{url} answers 401: it wants a token, whose file PACELINE_ADMIN_TOKEN_FILE may name"
        )
    if status != http.client.OK:
        raise Unavailable(f"{url} answers {status}")
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Unavailable(f"{url} does not answer with JSON: is it a Paceline node?") from error
    if not isinstance(found, dict):
        raise Unavailable(f"{url} does not answer with a JSON object: is it a Paceline node?")
    return found


class AsksWho(Unavailable):
    """It serves, and wants to know who asks."""


def dax_roster_size(address: str, timeout_s: float = PROBE_S) -> int:
    """How many nodes a DAX front door at ``host:port`` names; Unavailable if it gives no roster:
    AsksWho if that is for those alone who sign."""
    host, port = split_address(address)
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            return len(read_roster(connection))
    except OSError as error:
        raise Unavailable(f"{address} does not answer: {_reason(error)}") from error
    except PacelineError as error:
        signed = isinstance(error, DynamoDBError) and error.name == NOT_SIGNED
        kind = AsksWho if signed else Unavailable
        raise kind(f"{address} gives no roster: {error}") from error


def grpc_problem(address: str, timeout_s: float = 2.0) -> str | None:
    """The standard health service, asked with an empty request: the server as a whole."""
    import grpc  # noqa: PLC0415  it takes longer to import than all other checks to run

    host, port = split_address(address)
    serving = b"\x08\x01"  # HealthCheckResponse{status: SERVING}
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # A check must see the server itself, whatever proxy the environment names.
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
        try:
            answer = check(b"", timeout=timeout_s)
        except grpc.RpcError as error:
            return f"{address} does not answer: {error.code().name}"
    return None if answer == serving else f"{address} is not serving"


def split_address(address: str) -> tuple[str, int]:
    """Splits ``dax://host:port`` or ``host:port``; IPv6 hosts are in brackets."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None:
        raise ConfigError(f"{address!r} is no address: write it as host:port")
    return host, port


def read_roster(connection: socket.socket, signature: bytes = b"") -> list[Endpoint]:
    """Reads a roster; ``signature`` goes in front of the question. Raises PacelineError for an
    error reply or no reply of the protocol, and OSError."""
    # Health checks by HTTP, every few seconds in a container, need no codec.
    from paceline.dax.connection import ClientConnection, ErrorReply, Reply  # noqa: PLC0415
    from paceline.dax.request_types import Endpoints  # noqa: PLC0415
    from paceline.dax.responses import read_endpoints  # noqa: PLC0415

    codec = ClientConnection()
    asked = codec.preamble("paceline-probe", b"") + signature + codec.send(Endpoints())
    connection.sendall(asked)
    while True:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionResetError("the connection was closed")
        codec.receive_data(piece)
        match codec.next_event():
            case Reply(body=body):
                return read_endpoints(body)
            case ErrorReply(error=error):
                raise error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__

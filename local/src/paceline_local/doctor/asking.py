"""Who serves at an endpoint, what time it is there, and which nodes it names."""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import socket
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from paceline.client.signing import Signer
from paceline.client.tls import Tls
from paceline.clock import wall_time
from paceline.dax.responses import Endpoint, Role
from paceline.errors import DynamoDBError, PacelineError, ProtocolError
from paceline_local.doctor.findings import (
    REFUSALS,
    Finding,
    of_clocks,
    of_refusal,
    ok,
    problem,
    skipped,
    warning,
)
from paceline_local.doctor.target import Target
from paceline_local.probes import NOT_SIGNED, read_roster

ASK_S = 3.0
NODES_AT_ONCE = 16
GET_ROSTER = "/paceline.v1.Discovery/Get"
HEALTHY = b"healthy: dynamodb."


def roster(
    target: Target, address: str, tls: Tls | None, signer: Signer | None
) -> tuple[list[Finding], list[Endpoint]]:
    """Asks as DAX clients do before anything else, with a signature if there are credentials: a
    cluster that wants none takes it all the same."""
    try:
        with socket.create_connection((address, target.port), ASK_S) as plain:
            connection = plain if tls is None else tls.wrap(plain)
            with connection:
                connection.settimeout(ASK_S)
                nodes = read_roster(connection, b"" if signer is None else signer.prefix())
    except DynamoDBError as error:
        return [_refused(error, signer)], []
    except (ProtocolError, OSError) as error:
        return [
            problem(
                "protocol",
                f"{target.url} does not answer as DAX does: {error or type(error).__name__}",
                "compare the port: DAX, HTTP and gRPC have ports of their own ('paceline status')",
            )
        ], []
    except PacelineError as error:
        return [problem("roster", str(error), "look at the log of discovery or of the node")], []
    if not nodes:
        return [
            problem(
                "roster",
                "it serves, and names no node",
                "look at 'paceline status', and at discovery's PACELINE_SEEDS and log",
            )
        ], []
    return [_roster_finding(nodes)], nodes


def _refused(error: DynamoDBError, signer: Signer | None) -> Finding:
    if error.name == NOT_SIGNED and signer is not None:
        return problem(
            "credentials",
            f"a signature was sent and not seen ({error.message})",
            "the server is of another release than this command: compare 'paceline version'",
        )
    return of_refusal("credentials", error.name, error.message)


def _roster_finding(nodes: Sequence[Endpoint]) -> Finding:
    zones = Counter(node.zone for node in nodes)
    where = ", ".join(f"{zone or 'no zone'}: {count}" for zone, count in sorted(zones.items()))
    said = f"it names {len(nodes)} nodes ({where})"
    if not any(node.role is Role.LEADER for node in nodes):
        return warning(
            "roster",
            f"{said}, none of them the primary: nothing can be written now",
            "wait two seconds and look again; if it stays so, 'paceline status' says why",
        )
    return ok("roster", said)


def nodes_reached(nodes: Sequence[Endpoint]) -> list[Finding]:
    """Whether clients on this machine come to each of the nodes that the roster names."""

    def attempt(node: Endpoint) -> str | None:
        at = str(ipaddress.ip_address(node.address))
        try:
            socket.create_connection((at, node.port), ASK_S).close()
        except OSError as error:
            return f"{node.hostname or at} at {at}:{node.port} ({error.strerror or 'no answer'})"
        return None

    with ThreadPoolExecutor(NODES_AT_ONCE) as pool:
        lost = [reason for reason in pool.map(attempt, nodes) if reason is not None]
    if not lost:
        return [ok("nodes", "each node that it names takes connections from here")]
    advice = (
        "clients go to these addresses themselves: nodes have to advertise addresses that this"
        " machine reaches (PACELINE_ADVERTISE_HOST, or the listeners in docs/configuration.md)"
    )
    kind = problem if len(lost) == len(nodes) else warning
    return [kind("nodes", f"not reached from here: {'; '.join(lost)}", advice)]


def grpc_roster(target: Target, tls: Tls | None, signer: Signer | None) -> Finding:
    """Asks discovery's gRPC service, or a node's, which is the same."""
    import grpc  # noqa: PLC0415  half a second, which other endpoints do not need

    from paceline.v1 import discovery_pb2 as pb  # noqa: PLC0415

    asked = pb.GetRosterRequest().SerializeToString()
    metadata = () if signer is None else signer.metadata(GET_ROSTER, asked)
    options = [("grpc.enable_http_proxy", 0)]
    if tls is None:
        opened = grpc.insecure_channel(target.address, options)
    else:
        trusted = grpc.ssl_channel_credentials(tls.roots)
        opened = grpc.secure_channel(target.address, trusted, options)
    with opened as channel:
        method = channel.unary_unary(GET_ROSTER, None, pb.Roster.FromString)
        try:
            nodes = method(asked, metadata=metadata, timeout=ASK_S).nodes
        except grpc.RpcError as error:
            return _grpc_refused(target, error)
    if not nodes:
        return problem("roster", "it serves, and names no node", "look at 'paceline status'")
    return ok("roster", f"it names {len(nodes)} nodes")


def _grpc_refused(target: Target, error: Any) -> Finding:
    """AWS's name of an error is in the trailing metadata, in ErrorInfo."""
    told = b"".join(
        value if isinstance(value, bytes) else value.encode()
        for _, value in error.trailing_metadata() or ()
    )
    name = next((name for name in REFUSALS if name.encode() in told), None)
    if name is not None:
        return of_refusal("credentials", name, error.details() or "")
    return problem(
        "protocol",
        f"{target.url} does not answer as discovery does: {error.code().name}, {error.details()}",
        "compare the port: DAX, HTTP and gRPC have ports of their own ('paceline status')",
    )


def http_connection(target: Target, tls: Tls | None) -> http.client.HTTPConnection:
    """Returns a connection that is yet to be opened, and waits ``ASK_S`` for each answer."""
    if tls is None:
        return http.client.HTTPConnection(target.host, target.port, timeout=ASK_S)
    return http.client.HTTPSConnection(target.host, target.port, timeout=ASK_S, context=tls.context)


def http_endpoint(target: Target, address: str, tls: Tls | None) -> list[Finding]:
    """``GET /``, which is everybody's and tells the time."""
    connection = http_connection(target, tls)
    try:
        connection.connect()
        began = wall_time()
        connection.request("GET", "/")
        answer = connection.getresponse()
        body, date = answer.read(4096), answer.getheader("Date")
    except (OSError, http.client.HTTPException) as error:
        said = str(error) or type(error).__name__
        return [
            problem(
                "protocol",
                f"{target.url} ({address}) does not answer as HTTP does: {said}",
                "compare the port: DAX, HTTP and gRPC have ports of their own ('paceline status')",
            )
        ]
    finally:
        connection.close()
    if not body.startswith(HEALTHY):
        return [
            problem(
                "protocol",
                f"{target.url} answers {answer.status}, and not as a node of Paceline does",
                "compare the URL with the nodes' HTTP ports ('paceline status')",
            )
        ]
    region = body[len(HEALTHY) :].split(b".", 1)[0].decode("ascii", "replace")
    return [
        ok("protocol", f"a node answers, of the region {region}: sign for that one"),
        _clock(date, (began + wall_time()) / 2),
    ]


def _clock(date: str | None, here_s: float) -> Finding:
    try:
        there = email.utils.parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return skipped("clock", "the server does not tell its time")
    return of_clocks(here_s - there - 0.5)  # it tells whole seconds, cut off

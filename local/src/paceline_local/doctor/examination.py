"""All of an examination, in the order in which one finding rests on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

from paceline.client.signing import signer_of
from paceline.client.tls import Tls
from paceline.dax.responses import Endpoint
from paceline.errors import PacelineError
from paceline_local.doctor import asking, permission, reaching
from paceline_local.doctor.findings import (
    Finding,
    has_problem,
    ok,
    problem,
    skipped,
    warning,
)
from paceline_local.doctor.target import Target
from paceline_local.ready_file import ClusterEntry

Tell = Callable[[Finding], None]


def examine(
    target: Target,
    environment: Mapping[str, str],
    tell: Tell,
    *,
    ca: str | None = None,
    table: str | None = None,
    cluster: Callable[[], ClusterEntry] | None = None,
) -> bool:
    """Tells each finding as soon as it is there; returns whether no problem was found.

    ``cluster`` asks the nodes' admin addresses; None: they are not known.
    """
    found: list[Finding] = []

    def told(*findings: Finding) -> None:
        for finding in findings:
            found.append(finding)
            tell(finding)

    resolved, addresses = reaching.resolve(target)
    told(resolved)
    if addresses:
        _reached(target, environment, addresses, told, ca, table)
    told(*_cluster(cluster))
    return not has_problem(found)


def _reached(
    target: Target,
    environment: Mapping[str, str],
    addresses: Sequence[str],
    told: Callable[..., None],
    ca: str | None,
    table: str | None,
) -> None:
    findings, address = reaching.connect(target, addresses)
    told(*findings)
    if address is None:
        return
    tls: Tls | None = None
    if target.tls:
        tls = reaching.tls_of(target, ca)
        assert tls is not None
        findings = reaching.handshake(target, address, tls)
        told(*findings)
        if has_problem(findings):
            return
    told(permission.of_environment(environment))
    if not _serves(target, address, tls, environment, told):
        return
    if target.kind == "http":
        told(permission.by_http(target, tls, environment, table))
    else:
        told(permission.by_sdk(target, ca, environment, table))


def _serves(
    target: Target,
    address: str,
    tls: Tls | None,
    environment: Mapping[str, str],
    told: Callable[..., None],
) -> bool:
    nodes: list[Endpoint] = []
    if target.kind == "dax":
        findings, nodes = asking.roster(target, address, tls, signer_of(environment))
    elif target.kind == "http":
        findings = asking.http_endpoint(target, address, tls)
    else:
        findings = [asking.grpc_roster(target, tls, signer_of(environment))]
    if has_problem(findings) and not target.tls and reaching.speaks_tls(target, address):
        secure = Target(target.kind, target.host, target.port, tls=True)
        findings = [problem("TLS", "the port has TLS", f"use {secure.url}")]
    told(*findings)
    if nodes:
        told(*asking.nodes_reached(nodes))
    return not has_problem(findings)


def _cluster(cluster: Callable[[], ClusterEntry] | None) -> list[Finding]:
    here = f"this is paceline {version('paceline')}"
    if cluster is None:
        return [
            ok("versions", here),
            skipped("cluster", "name a node's admin address with --admin to look inside"),
        ]
    try:
        entry = cluster()
    except PacelineError as error:
        return [
            ok("versions", here),
            warning("cluster", str(error), "name a node's admin address with --admin"),
        ]
    return [_versions(entry, here), *_nodes(entry)]


def _versions(entry: ClusterEntry, here: str) -> Finding:
    there = sorted({str(node.get("version")) for node in entry["nodes"] if node.get("version")})
    if len(there) > 1:
        return warning(
            "versions",
            f"{here}; the nodes are of different releases: {', '.join(there)}",
            "finish the rolling upgrade",
        )
    if there and there != [version("paceline")]:
        return warning("versions", f"{here}; the nodes are {there[0]}", "use the same release")
    return ok("versions", f"{here}, as are the nodes" if there else here)


def _nodes(entry: ClusterEntry) -> list[Finding]:
    findings = []
    nodes = entry["nodes"]
    silent = [node["id"] for node in nodes if not node.get("alive")]
    if silent:
        findings.append(
            warning(
                "cluster",
                f"no answer at the admin address of {', '.join(silent)}",
                "start those nodes, or look at their logs",
            )
        )
    if not any(node.get("role") == "primary" for node in nodes):
        findings.append(
            problem(
                "cluster",
                "no node is the primary: nothing can be written",
                "a majority of the members has to run: /readyz of each says what it waits for",
            )
        )
    return findings or [
        ok("cluster", f"{len(nodes)} nodes answer, and {_primary(entry)} is the primary")
    ]


def _primary(entry: ClusterEntry) -> str:
    return next(node["id"] for node in entry["nodes"] if node.get("role") == "primary")

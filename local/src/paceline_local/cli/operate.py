"""Commands against a running cluster: status, flush, health."""

import http.client
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from paceline.errors import ConfigError, PacelineError, Unavailable
from paceline_local.admin_commands import send_command
from paceline_local.admin_token import read_headers
from paceline_local.cli.errors import print_error
from paceline_local.probes import (
    AsksWho,
    dax_roster_size,
    get_json,
    grpc_problem,
    http_ok,
)
from paceline_local.ready_file import ClusterEntry, NodeEntry
from paceline_local.status import cluster_status, local_cluster_status

FLUSH_S = 35.0
"""The time for a flush, a little longer than a node itself gives a command."""


def find_cluster(base_port: int, admin: str | None) -> ClusterEntry:
    """Returns the cluster around ``admin`` if that is named, else the local one at
    ``base_port``."""
    if admin is None:
        return local_cluster_status(base_port)
    url = admin if "://" in admin else f"http://{admin}"
    return cluster_status([url.rstrip("/")])


def show_status(base_port: int, admin: str | None, output: str) -> int:
    entry = find_cluster(base_port, admin)
    if output == "json":
        sys.stdout.write(json.dumps(entry, indent=2) + "\n")
    elif output == "table":
        # A health check prints none.
        from paceline_local.cli.output import console, further_lines, status_table

        out = console()
        out.print(status_table(entry))
        for line in further_lines(entry):
            out.print(line)
    else:
        raise ConfigError(f"--output {output!r} is neither 'table' nor 'json'")
    return 0


def flush(base_port: int, admin: str | None, table: str | None) -> int:
    """Empty the caches of every member, of one table or of all; 1 if a member was not reached."""
    from paceline_local.cli.output import console

    entry = find_cluster(base_port, admin)
    query = f"?table={quote(table, safe='')}" if table is not None else ""
    done, failed = command_all(entry["nodes"], lambda _: f"flush{query}", FLUSH_S)
    what = f"table {table}" if table is not None else "every table"
    console().print(f"{what} flushed on {len(done)} of {len(entry['nodes'])} nodes")
    if failed:
        print_error("not flushed: " + "; ".join(failed))
    return 1 if failed else 0


def command_all(
    nodes: Iterable[NodeEntry], target: Callable[[NodeEntry], str], timeout_s: float
) -> tuple[list[tuple[NodeEntry, dict[str, Any]]], list[str]]:
    """As ``command_node``, of each. Returns the answers, and what went wrong with the others."""
    answers, failed = [], []
    for node in nodes:
        try:
            answers.append((node, command_node(node, target(node), timeout_s)))
        except Unavailable as error:
            failed.append(str(error))
    return answers, failed


def command_node(node: NodeEntry, target: str, timeout_s: float) -> dict[str, Any]:
    """Gives a node the command of path and query ``target``; returns its answer. Unavailable, which
    names the node, if it is not known to have carried it out."""
    admin = node["admin"]
    if admin is None:
        raise Unavailable(f"{node['id']} has no admin address")
    try:
        told = get_json(f"{admin}/status", headers=read_headers())
        status, body = send_command(admin, told, target, timeout_s=timeout_s)
    except Unavailable as error:
        raise Unavailable(f"{node['id']}: {error}") from error
    answer = _object(body)
    if status != http.client.OK or answer is None:
        raise Unavailable(f"{node['id']}: {_problem(status, body)}")
    return answer


def check_health(url: str | None, dax: str | None, grpc: str | None) -> int:
    """Returns 0 if everything named is healthy; ConfigError if nothing was named."""
    if url is None and dax is None and grpc is None:
        raise ConfigError("name what to check: a URL, --dax HOST:PORT or --grpc HOST:PORT")
    problems = []
    if url is not None and (reason := http_ok(url)) is not None:
        problems.append(reason)
    try:
        if dax is not None and _names_nobody(dax):
            problems.append(f"{dax} names no node")
        if grpc is not None and (reason := grpc_problem(grpc)) is not None:
            problems.append(reason)
    except ConfigError:
        raise
    except PacelineError as error:
        problems.append(str(error))
    for problem in problems:
        print_error(problem)
    return 1 if problems else 0


def _names_nobody(dax: str) -> bool:
    try:
        return dax_roster_size(dax) == 0
    except AsksWho:
        return False  # it serves


def _object(body: bytes) -> dict[str, Any] | None:
    """A node answers commands so; what else says 200 (a proxy's page) has done nothing."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _problem(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"answered {status}, not as a node does"

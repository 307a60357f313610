"""``paceline member``: who takes part in a running cluster's log, and how that is changed.

Only what every command line needs is imported here: health checks load this module too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from paceline.errors import ConfigError, PacelineError, Unavailable

COMMAND_S = 35.0
"""A little longer than a node itself gives a command."""

member_app = typer.Typer(
    help="Nodes of a running cluster: list, add, remove.", no_args_is_help=True
)

Admin = Annotated[
    str | None,
    typer.Option("--admin", metavar="URL", help="Admin address of any node of the cluster."),
]
BasePort = Annotated[
    int, typer.Option("--base-port", metavar="P", help="That of 'paceline up', to find it.")
]
Node = Annotated[str, typer.Argument(metavar="ID", help="The node's id (PACELINE_NODE_ID).")]


@member_app.command("list")
def list_members(
    base_port: BasePort = 8000,
    admin: Admin = None,
    output: Annotated[str, typer.Option("--output", "-o", help="'table' or 'json'.")] = "table",
) -> int:
    """Every member: its address, its disk, and whether it votes."""
    (_, status), *_ = _nodes(base_port, admin)
    log = status.get("log") or {}
    if output == "json":
        sys.stdout.write(json.dumps(log, indent=2) + "\n")
    elif output == "table":
        _print(log)
    else:
        raise ConfigError(f"--output {output!r} is neither 'table' nor 'json'")
    return 0


@member_app.command()
def add(
    node: Node,
    address: Annotated[
        str,
        typer.Argument(
            metavar="HOST:PORT", help="Where members reach it (its PACELINE_MEMBERS_BIND)."
        ),
    ],
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Admit a node; then start it, with all members and itself as its PACELINE_PEERS.

    It gets the log, and votes once it has all of it.
    """
    _print(_change(_nodes(base_port, admin), "add", {"id": node, "address": address}))
    return 0


@member_app.command()
def promote(node: Node, base_port: BasePort = 8000, admin: Admin = None) -> int:
    """Wait until a node that was added votes; the leader lets it as soon as it has the log."""
    _print(_change(_nodes(base_port, admin), "promote", {"id": node}))
    return 0


@member_app.command()
def remove(
    nodes: Annotated[list[str], typer.Argument(metavar="ID...", help="The nodes' ids.")],
    unsafe_recover: Annotated[
        bool,
        typer.Option(
            "--unsafe-recover",
            help="A majority is lost for good: make the stopped node of --data-dir the only one.",
        ),
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --unsafe-recover: of the member that is left."),
    ] = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Remove nodes, one after the other; each may be switched off for good then."""
    if unsafe_recover != (data_dir is not None):
        raise ConfigError("--unsafe-recover and --data-dir go together")
    if data_dir is not None:
        from paceline_local.programs import become_server

        become_server("recover", ["--data-dir", str(data_dir), *nodes])
    for node in nodes:
        # A node does not remove itself; it would not hear that it was done.
        others = [one for one in _nodes(base_port, admin) if one[1].get("id") != node]
        if not others:
            raise Unavailable(f"no other node than {node} answers, which cannot remove itself")
        _print(_change(others, "remove", {"id": node}))
    return 0


def command(
    base_port: int, admin: str | None, path: str, parameters: Mapping[str, str]
) -> Mapping[str, Any]:
    """What a node says to a command that is not to be given twice: one node is asked, once.
    ``parameters`` go in the body, where no log has them."""
    from paceline_local.admin_commands import send_command

    url, status = _nodes(base_port, admin)[0]
    try:
        content = json.dumps(parameters).encode()
        code, body = send_command(url, status, path, body=content, timeout_s=COMMAND_S)
    except Unavailable as error:
        raise Unavailable(f"{error}; whether it was done is not known") from error
    told = _object(body)
    if code == HTTPStatus.OK and told is not None:
        return told
    raise Unavailable(str((told or {}).get("error") or f"{url} answered {code}"))


def _nodes(base_port: int, admin: str | None) -> Sequence[tuple[str, Mapping[str, Any]]]:
    """Admin URL and status of every member that answers. Unavailable if none does."""
    from paceline_local.cli.operate import find_cluster
    from paceline_local.status import fetch_statuses

    entry = find_cluster(base_port, admin)
    admins = [node["admin"] for node in entry["nodes"] if node["admin"]]
    found = [(a, s) for a, s in fetch_statuses(admins).items() if isinstance(s, dict)]
    if not found:
        raise Unavailable("no node answers")
    leaders = {str((status.get("log") or {}).get("leader")) for _, status in found}
    # The leader first: it needs nobody else to hear of the change.
    return sorted(found, key=lambda one: str(one[1].get("id")) not in leaders)


def _change(
    nodes: Sequence[tuple[str, Mapping[str, Any]]], verb: str, query: Mapping[str, str]
) -> Mapping[str, Any]:
    """What the node says after it. Asks the next one if one is not reached at all."""
    from paceline_local.admin_commands import send_command

    problem: PacelineError = Unavailable("no node answers")
    for admin, status in nodes:
        target = f"members/{verb}?{urlencode(query)}"
        try:
            code, body = send_command(admin, status, target, timeout_s=COMMAND_S)
        except Unavailable as error:
            problem = error
            continue
        told = _object(body)
        if code != HTTPStatus.OK or told is None:
            raise Unavailable(str((told or {}).get("error") or f"{admin} answered {code}"))
        return told
    raise problem


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _print(log: Mapping[str, Any]) -> None:
    from paceline_local.cli.output import console, members_table

    console().print(members_table(log))
    if log.get("trouble"):
        console().print(str(log["trouble"]))

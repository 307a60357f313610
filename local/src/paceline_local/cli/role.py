"""``paceline role``: what principals of a cluster may take on for a while, by STS."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.errors import ConfigError
from paceline_local.cli.member import Admin, BasePort, command
from paceline_local.cli.parts import (
    FullAccess,
    NoUpstream,
    Policies,
    Tags,
    UpstreamKey,
    UpstreamProfile,
    UpstreamRole,
    document_in,
    parts_of,
    upstream_parts,
)

role_app = typer.Typer(
    help="Roles of a running cluster, which principals take on by STS (AssumeRole).",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As IAM names roles.")]
Trust = Annotated[
    Path, typer.Option("--trust", metavar="FILE", help="An IAM document: who may take it on.")
]
NewTrust = Annotated[
    Path | None,
    typer.Option("--trust", metavar="FILE", help="An IAM document: who may take it on."),
]
Longest = Annotated[
    int | None,
    typer.Option(
        "--session-max-s", metavar="SECONDS", help="The longest session: 3600 (if unset) to 43200."
    ),
]
Output = Annotated[str, typer.Option("--output", "-o", help="'table' or 'json'.")]


@role_app.command("list")
def list_roles(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this one.")] = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
    output: Output = "table",
) -> int:
    """Every role of the log: its ARN, tags and policies."""
    told = _ask(base_port, admin, "list", {} if name is None else {"name": name})
    _print(told["roles"], output)
    return 0


@role_app.command()
def add(
    name: Name,
    trust: Trust,
    tag: Tags = None,
    policy: Policies = None,
    full_access: FullAccess = False,
    session_max_s: Longest = None,
    upstream_role: UpstreamRole = None,
    upstream_profile: UpstreamProfile = None,
    upstream_key: UpstreamKey = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
    output: Output = "table",
) -> int:
    """A new role. Whoever its trust policy names may take it on."""
    parts = {**parts_of(tag, policy, full_access), **_more(trust, session_max_s)}
    parts |= upstream_parts(upstream_role, upstream_profile, upstream_key)
    _print([_ask(base_port, admin, "add", {"name": name, **parts})], output)
    return 0


@role_app.command("set")
def set_parts(
    name: Name,
    trust: NewTrust = None,
    tag: Tags = None,
    policy: Policies = None,
    full_access: FullAccess = False,
    session_max_s: Longest = None,
    upstream_role: UpstreamRole = None,
    upstream_profile: UpstreamProfile = None,
    upstream_key: UpstreamKey = None,
    no_upstream: NoUpstream = False,
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Replace its trust policy, its tags, its policies, its longest session, or its credentials.

    Policies, tags and credentials count for sessions that are open, too; the rest for new ones.
    """
    parts = {**parts_of(tag, policy, full_access), **_more(trust, session_max_s)}
    parts |= upstream_parts(upstream_role, upstream_profile, upstream_key, none=no_upstream)
    if not parts:
        raise ConfigError(
            "name what it shall have: --trust, --tag, --policy, --session-max-s, "
            "--upstream-role ARN, --upstream-profile NAME, --upstream-key ID, --no-upstream"
        )
    _print([_ask(base_port, admin, "change", {"name": name, **parts})], "table")
    return 0


@role_app.command()
def disable(name: Name, base_port: BasePort = 8000, admin: Admin = None) -> int:
    """Nobody may take it on from now on, and its sessions may do nothing."""
    _print([_ask(base_port, admin, "change", {"name": name, "disabled": "true"})], "table")
    return 0


@role_app.command()
def enable(name: Name, base_port: BasePort = 8000, admin: Admin = None) -> int:
    """The opposite of disable."""
    _print([_ask(base_port, admin, "change", {"name": name, "disabled": "false"})], "table")
    return 0


@role_app.command()
def remove(name: Name, base_port: BasePort = 8000, admin: Admin = None) -> int:
    """It goes, and its sessions end. A later role of the same name is another one."""
    _ask(base_port, admin, "remove", {"name": name})
    sys.stdout.write(f"{name} is removed\n")
    return 0


def _ask(
    base_port: int, admin: str | None, verb: str, query: Mapping[str, str]
) -> Mapping[str, Any]:
    return command(base_port, admin, f"roles/{verb}", query)


def _more(trust: Path | None, session_max_s: int | None) -> dict[str, str]:
    parts = {} if trust is None else {"trust": document_in(trust)}
    return parts if session_max_s is None else {**parts, "session_max_s": str(session_max_s)}


def _print(roles: list[Mapping[str, Any]], output: str) -> None:
    from paceline_local.cli.output import console, roles_table

    if output == "json":
        sys.stdout.write(json.dumps(roles, indent=2) + "\n")
    elif output == "table":
        console().print(roles_table(roles))
    else:
        raise ConfigError(f"--output {output!r} is neither 'table' nor 'json'")

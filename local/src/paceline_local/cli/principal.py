"""``paceline principal``: who may call a cluster, and with which access keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
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
    parts_of,
    upstream_parts,
)

principal_app = typer.Typer(
    help="Who may call a running cluster: principals and their access keys.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As IAM names users.")]
Key = Annotated[
    str | None, typer.Option("--key", metavar="ID", help="Only this one of its access keys.")
]
Output = Annotated[str, typer.Option("--output", "-o", help="'table' or 'json'.")]


@principal_app.command("list")
def list_principals(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this one.")] = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
    output: Output = "table",
) -> int:
    """Every principal of the log: its keys, tags and policies. Secrets are never shown."""
    told = _ask(base_port, admin, "list", {} if name is None else {"name": name})
    _print(told["principals"], output)
    return 0


@principal_app.command()
def add(
    name: Name,
    tag: Tags = None,
    policy: Policies = None,
    full_access: FullAccess = False,
    upstream_role: UpstreamRole = None,
    upstream_profile: UpstreamProfile = None,
    upstream_key: UpstreamKey = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
    output: Output = "table",
) -> int:
    """A new principal with one access key. Its secret is shown now and never again."""
    parts = parts_of(tag, policy, full_access)
    parts |= upstream_parts(upstream_role, upstream_profile, upstream_key)
    _print_key(_ask(base_port, admin, "add", {"name": name, **parts}), output)
    return 0


@principal_app.command()
def rotate(
    name: Name,
    now: Annotated[
        bool, typer.Option("--now", help="All other keys of it end at once, open connections too.")
    ] = False,
    base_port: BasePort = 8000,
    admin: Admin = None,
    output: Output = "table",
) -> int:
    """One more access key. Its secret is shown now and never again.

    The others stay until 'principal remove NAME --key ID', so that programs can change over.
    """
    query = {"name": name, **({"now": "true"} if now else {})}
    _print_key(_ask(base_port, admin, "rotate", query), output)
    return 0


@principal_app.command()
def disable(name: Name, key: Key = None, base_port: BasePort = 8000, admin: Admin = None) -> int:
    """It may do nothing from now on, on open connections neither; nor may its key."""
    query = {"name": name, "disabled": "true", **({} if key is None else {"key": key})}
    _print([_ask(base_port, admin, "change", query)], "table")
    return 0


@principal_app.command()
def enable(name: Name, key: Key = None, base_port: BasePort = 8000, admin: Admin = None) -> int:
    """The opposite of disable."""
    query = {"name": name, "disabled": "false", **({} if key is None else {"key": key})}
    _print([_ask(base_port, admin, "change", query)], "table")
    return 0


@principal_app.command("set")
def set_parts(
    name: Name,
    tag: Tags = None,
    policy: Policies = None,
    full_access: FullAccess = False,
    upstream_role: UpstreamRole = None,
    upstream_profile: UpstreamProfile = None,
    upstream_key: UpstreamKey = None,
    no_upstream: NoUpstream = False,
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Replace all of its tags, all of its policies, or its own credentials at AWS."""
    parts = parts_of(tag, policy, full_access)
    parts |= upstream_parts(upstream_role, upstream_profile, upstream_key, none=no_upstream)
    if not parts:
        raise ConfigError(
            "name what it shall have: --tag KEY=VALUE, --policy FILE, --full-access, "
            "--upstream-role ARN, --upstream-profile NAME, --upstream-key ID, --no-upstream"
        )
    _print([_ask(base_port, admin, "change", {"name": name, **parts})], "table")
    return 0


@principal_app.command()
def remove(name: Name, key: Key = None, base_port: BasePort = 8000, admin: Admin = None) -> int:
    """It goes, and all of its keys; or one of its keys alone."""
    told = _ask(base_port, admin, "remove", {"name": name, **({} if key is None else {"key": key})})
    if key is None:
        sys.stdout.write(f"{name} is removed\n")
    else:
        _print([told], "table")
    return 0


@principal_app.command()
def reseal(base_port: BasePort = 8000, admin: Admin = None) -> int:
    """Seal all anew with the first key of the nodes' key file; older ones may leave it then."""
    told = _ask(base_port, admin, "reseal", {})
    sys.stdout.write(f"sealed anew: {', '.join(told['resealed']) or 'nobody'}\n")
    return 0


def _ask(
    base_port: int, admin: str | None, verb: str, query: Mapping[str, str]
) -> Mapping[str, Any]:
    return command(base_port, admin, f"principals/{verb}", query)


def _print_key(told: Mapping[str, Any], output: str) -> None:
    if output == "json":
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    _print([told], output)
    key = told["new_key"]
    sys.stdout.write(
        f"AWS_ACCESS_KEY_ID={key['access_key_id']}\n"
        f"AWS_SECRET_ACCESS_KEY={key['secret_access_key']}\n"
    )


def _print(principals: list[Mapping[str, Any]], output: str) -> None:
    from paceline_local.cli.output import console, principals_table

    if output == "json":
        sys.stdout.write(json.dumps(principals, indent=2) + "\n")
    elif output == "table":
        console().print(principals_table(principals))
    else:
        raise ConfigError(f"--output {output!r} is neither 'table' nor 'json'")

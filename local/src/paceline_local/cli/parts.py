"""Options by which principals and roles get tags, policies and credentials upstream."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from paceline.errors import ConfigError

SECRET_CHARACTERS_MAX = 1024

FULL_ACCESS = "full-access"
FULL_ACCESS_POLICY = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": ["dynamodb:*", "dax:*"], "Resource": "*"},
}

Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="May be repeated.")
]
Policies = Annotated[
    list[Path] | None,
    typer.Option(
        "--policy", metavar="FILE", help="An IAM document, named after its file. May be repeated."
    ),
]
FullAccess = Annotated[
    bool,
    typer.Option(
        "--full-access",
        help="A policy by which it may do everything: every table, the control plane.",
    ),
]

UpstreamRole = Annotated[
    str | None,
    typer.Option(
        "--upstream-role", metavar="ARN", help="The role that nodes take on to ask DynamoDB for it."
    ),
]
UpstreamProfile = Annotated[
    str | None,
    typer.Option(
        "--upstream-profile", metavar="NAME", help="A profile of AWS's files at each node instead."
    ),
]
UpstreamKey = Annotated[
    str | None,
    typer.Option(
        "--upstream-key",
        metavar="ID",
        help="An access key of AWS's instead; its secret is asked for, or read from stdin.",
    ),
]
NoUpstream = Annotated[
    bool, typer.Option("--no-upstream", help="It has no credentials of its own any more.")
]


def parts_of(
    tags: list[str] | None, policies: list[Path] | None, full_access: bool
) -> dict[str, str]:
    """Parameters of a command: ``tags``, ``policies``, each as JSON, where any are given."""
    parts: dict[str, str] = {}
    if tags:
        pairs = [tag.partition("=") for tag in tags]
        if any(not equals for _, equals, _ in pairs):
            raise ConfigError("a tag is KEY=VALUE")
        parts["tags"] = json.dumps({key: value for key, _, value in pairs})
    if policies or full_access:
        documents = {FULL_ACCESS: json.dumps(FULL_ACCESS_POLICY)} if full_access else {}
        documents |= {path.stem: document_in(path) for path in policies or ()}
        parts["policies"] = json.dumps(documents)
    return parts


def document_in(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the policy: {error}") from error


def upstream_parts(
    role: str | None, profile: str | None, key: str | None, *, none: bool = False
) -> dict[str, str]:
    """``upstream``, as JSON, where any is given; "" for none any more."""
    given = [one for one in (role, profile, key) if one is not None]
    if len(given) + none > 1:
        raise ConfigError("there is one kind of credentials upstream: name one of them")
    if none:
        return {"upstream": ""}
    if role is not None:
        return {"upstream": json.dumps({"role_arn": role})}
    if profile is not None:
        return {"upstream": json.dumps({"profile": profile})}
    if key is not None:
        return {"upstream": json.dumps({"key": {"id": key, "secret": _secret_of(key)}})}
    return {}


def _secret_of(key: str) -> str:
    """Never an argument: those are shown to everybody on the machine, and kept by shells."""
    if sys.stdin.isatty():
        return getpass.getpass(f"secret access key of {key}: ").strip()
    return sys.stdin.readline(SECRET_CHARACTERS_MAX).strip()

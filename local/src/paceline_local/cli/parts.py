"""Options by which principals and roles get tags and policies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from paceline.errors import ConfigError

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

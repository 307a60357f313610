"""``paceline policy``: what IAM documents decide, without a cluster; and those of its tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paceline.errors import ConfigError
from paceline_local.cli.member import Admin, BasePort, command
from paceline_local.cli.parts import document_in

if TYPE_CHECKING:
    from paceline.access.policies.decisions import AccessRequest, Decision
    from paceline.access.policies.policy import Kind, Policy
    from paceline.access.policies.rights import Rights

EXIT_DENIED = 1

policy_app = typer.Typer(
    help="IAM policies: what they allow, and why; those that tables of a running cluster have.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Table = Annotated[str, typer.Argument(metavar="TABLE", help="The table's name.")]


@policy_app.command()
def attach(
    table: Table,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An IAM document.")],
    name: Annotated[
        str | None, typer.Option("--name", help="The policy's; as the file's, if unset.")
    ] = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Give a table a policy, in place of one of the same name.

    It says who may do what with the table, and counts from the next request on.
    """
    query = {"table": table, "name": name or file.stem, "policy": document_in(file)}
    _print_names(command(base_port, admin, "table-policies/attach", query))
    return 0


@policy_app.command()
def detach(
    table: Table,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")],
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Take a policy away from a table."""
    query = {"table": table, "name": name}
    _print_names(command(base_port, admin, "table-policies/detach", query))
    return 0


@policy_app.command()
def show(
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help="Only of this one.")] = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """The policies that tables have, as JSON."""
    query = {} if table is None else {"table": table}
    told = command(base_port, admin, "table-policies/show", query)
    sys.stdout.write(json.dumps(told["tables"], indent=2) + "\n")
    return 0


def _print_names(told: Mapping[str, Any]) -> None:
    names = ", ".join(told["policies"]) or "none"
    sys.stdout.write(f"policies of {told['table']}: {names}\n")


@policy_app.command()
def check(
    principal: Annotated[str, typer.Option(metavar="NAME", help="Who calls: a name, or an ARN.")],
    action: Annotated[str, typer.Option(metavar="ACTION", help="As in dynamodb:GetItem.")],
    resource: Annotated[str, typer.Option(metavar="ARN", help="A table, index or stream.")],
    policy: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Of the principal. May be repeated.")
    ] = None,
    session_policy: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Of the session. May be repeated.")
    ] = None,
    table_policy: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Of the table. May be repeated.")
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="Of the request; a key that is repeated has several values."
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Of the principal. May be repeated."),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="'text' or 'json'.")] = "text",
) -> int:
    """Say whether a request would be allowed, and why.

    Exit codes: 0 allowed, 1 denied, 2 a document cannot be read.
    """
    from paceline.access.policies.context import Caller, arn_of, role_of
    from paceline.access.policies.decisions import decide
    from paceline.access.policies.policy import Kind
    from paceline.access.policies.rights import Rights

    if output not in ("text", "json"):
        raise ConfigError(f"--output {output!r} is neither 'text' nor 'json'")
    if ":" not in action:
        raise ConfigError(f"--action {action!r} has no service: write dynamodb:{action}")
    arn = principal if principal.startswith("arn:") else arn_of(principal)
    tags = {key: values[-1] for key, values in _pairs("--tag", tag or ()).items()}
    rights = Rights(
        Caller(arn.rpartition("/")[2], arn, tags, role_arn=role_of(arn)),
        _read(policy or (), Kind.IDENTITY),
        _read(session_policy, Kind.SESSION) if session_policy else None,
        _read(table_policy or (), Kind.TABLE),
    )
    request = _request(action, resource, _pairs("--context", context or ()))
    decision = decide(rights, request)
    if output == "json":
        sys.stdout.write(json.dumps(_as_json(rights, request, decision), indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _as_text(rights, request, decision))
    return 0 if decision.allowed else EXIT_DENIED


def _read(files: Sequence[Path], kind: Kind) -> tuple[Policy, ...]:
    from paceline.access.policies.policy import Policy
    from paceline.access.policies.problems import PolicyError

    read = []
    for file in files:
        try:
            read.append(Policy.parse(file.read_text(encoding="utf-8"), str(file), kind))
        except (PolicyError, OSError) as error:
            raise ConfigError(str(error)) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: no UTF-8: {error}") from error
    return tuple(read)


def _pairs(option: str, texts: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"{option} {text!r} is not written KEY=VALUE")
        found.setdefault(key, []).append(value)
    return found


def _request(action: str, resource: str, given: dict[str, list[str]]) -> AccessRequest:
    from paceline.access.policies.context import context_of, is_of_caller
    from paceline.access.policies.decisions import AccessRequest

    for key in given:
        if is_of_caller(key.lower()):
            raise ConfigError(f"--context {key} says who calls: use --principal and --tag")
    return AccessRequest(action, resource, context_of(given))


def _as_text(rights: Rights, request: AccessRequest, decision: Decision) -> list[str]:
    from paceline.access.policies.decisions import explain
    from paceline.access.policies.remarks import remarks

    lines = [f"{decision.outcome.value}: {decision.why}"]
    for looked in explain(rights, request):
        assert looked.statement is not None, "all documents were read"
        name = f"{looked.policy.name}, statement {looked.statement.name}"
        how = "applies" if looked.obstacle is None else f"does not apply: {looked.obstacle}"
        lines.append(f"  {name} ({looked.statement.effect.value}) {how}")
    lines += [f"  note: {said}" for policy in rights.all() for said in remarks(policy)]
    return lines


def _as_json(rights: Rights, request: AccessRequest, decision: Decision) -> dict[str, Any]:
    from paceline.access.policies.decisions import explain
    from paceline.access.policies.remarks import remarks

    return {
        "allowed": decision.allowed,
        "outcome": decision.outcome.value,
        "policy": decision.policy,
        "statement": decision.statement,
        "why": decision.why,
        "statements": [
            {
                "policy": looked.policy.name,
                "kind": looked.policy.kind.value,
                "statement": looked.statement and looked.statement.name,
                "effect": looked.statement and looked.statement.effect.value,
                "obstacle": looked.obstacle,
            }
            for looked in explain(rights, request)
        ],
        "notes": [said for policy in rights.all() for said in remarks(policy)],
    }

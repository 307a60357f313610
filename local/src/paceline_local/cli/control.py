"""Commands that ask discovery's control plane, as ``aws dax`` does: what each takes.

Only what every command line needs is imported here: health checks load this module too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paceline.errors import ConfigError
from paceline_local.cli.member import BasePort

Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="Discovery's HTTP port. (default: AWS_ENDPOINT_URL_DAX, or that of the base port)",
    ),
]


def apply(
    template: Annotated[Path, typer.Argument(metavar="TEMPLATE", help="YAML or JSON.")],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="More parameters."),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--parameters",
            "--parameter-overrides",
            metavar="NAME=VALUE|FILE",
            help="Of the template; several may follow, and FILE is JSON as the AWS CLI takes it.",
        ),
    ] = None,
    stack_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="(default: the file's name)")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be done.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the stack.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", metavar="text|json")] = "text",
    endpoint: Endpoint = None,
    region: Annotated[str | None, typer.Option(help="That requests are signed for.")] = None,
    base_port: BasePort = 8000,
) -> int:
    """Make what a CloudFormation template says of DAX: clusters, subnet and parameter groups."""
    from paceline_local.cli import apply as command

    return command.apply(
        template,
        [*(parameters or ()), *(more or ())],
        stack_name,
        command.Where(endpoint, base_port, region),
        command.How(yes, plan, output),
        delete=delete,
    )


def delete_stack(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    stack_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The same, as the AWS CLI writes it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be done.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", metavar="text|json")] = "text",
    endpoint: Endpoint = None,
    region: Annotated[str | None, typer.Option(help="That requests are signed for.")] = None,
    base_port: BasePort = 8000,
) -> int:
    """Delete what 'paceline apply' has made of a template."""
    from paceline_local.cli import apply as command

    if (name is None) == (stack_name is None):
        raise ConfigError("name one stack")
    return command.delete_stack(
        name or stack_name or "",
        command.Where(endpoint, base_port, region),
        command.How(yes, plan, output),
    )


def hosts(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|URL|FILE]...", help="Names that are to lead here as well."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="CLUSTER", help="Where names of clusters that are not there lead."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Put the lines into this file, between marks."),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take them out of the file again.")
    ] = False,
    endpoint: Endpoint = None,
    region: Annotated[str | None, typer.Option(help="That requests are signed for.")] = None,
    base_port: BasePort = 8000,
) -> int:
    """Print lines for /etc/hosts, by which DAX's own names lead to the clusters here."""
    from paceline_local.cli import hosts as command
    from paceline_local.cli.apply import Where

    where = Where(endpoint, base_port, region)
    return command.run(names or [], to, write, where, remove=remove)

"""The command line: what each command takes, and how it ends.

Exit codes: 0; 1 when something could not be done; 2 when what was asked cannot work (usage,
settings, ports). Errors are one line on stderr. Commands are imported when they run: a health
check must not wait for what ``up`` needs, and the servers are never imported at all.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.errors import ConfigError, PacelineError
from paceline_local.cli import control
from paceline_local.cli.alarms import alarms_app
from paceline_local.cli.chaos import chaos_app
from paceline_local.cli.member import member_app
from paceline_local.cli.policy import policy_app
from paceline_local.cli.principal import principal_app
from paceline_local.cli.role import role_app

EXIT_FAILED = 1
EXIT_USAGE = 2

app = typer.Typer(
    name="paceline",
    help="A DAX-compatible cache cluster for DynamoDB that you run yourself.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
embedded_app = typer.Typer(help="The DynamoDB that comes with `paceline up`.", no_args_is_help=True)
app.add_typer(embedded_app, name="embedded")
app.add_typer(alarms_app, name="alarms")
app.add_typer(chaos_app, name="chaos")
app.add_typer(member_app, name="member")
app.add_typer(policy_app, name="policy")
app.add_typer(principal_app, name="principal")
app.add_typer(role_app, name="role")
app.command()(control.apply)
app.command("delete-stack")(control.delete_stack)
app.command()(control.hosts)

BasePort = Annotated[
    int, typer.Option("--base-port", metavar="P", help="All ports are counted from this one.")
]
Admin = Annotated[
    str | None,
    typer.Option("--admin", metavar="URL", help="Admin address of any node of the cluster."),
]
_PASS_THROUGH = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


@app.command()
def up(
    nodes: Annotated[int, typer.Option(help="How many nodes, 1 to 11.")] = 3,
    zones: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Zones; nodes take them in turn. (default: a,b,c)"),
    ] = None,
    base_port: BasePort = 8000,
    dynamodb: Annotated[
        str, typer.Option(metavar="embedded|aws|URL", help="Which DynamoDB is behind the cluster.")
    ] = "embedded",
    region: Annotated[
        str | None, typer.Option(help="AWS region. (default: us-east-1, or AWS_REGION)")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Keep data and logs here. (default: a directory removed at the end)"),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Write every endpoint, pid, zone and role to this JSON when ready."),
    ] = None,
    primary_lease: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Length of the primary lease.")
    ] = None,
    demo: Annotated[
        bool | None,
        typer.Option(
            "--demo/--no-demo", help="Make table Users with items. (default: if embedded)"
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart/--no-restart", help="Start a node that died once more.")
    ] = False,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Let 'paceline chaos' make things fail.")
    ] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="Open ports with TLS besides, 1000 higher.")
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate for them. (default: one is made)"),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its key. (default: in the same file)")
    ] = None,
) -> int:
    """Run a whole cluster on this machine until Ctrl-C."""
    from paceline_local.cli import up as command

    return command.run(
        command.UpOptions(
            nodes=nodes,
            zones=zones,
            base_port=base_port,
            dynamodb=dynamodb,
            region=region,
            data_dir=data_dir,
            ready_file=ready_file,
            primary_lease_s=primary_lease,
            demo=demo,
            restart=restart,
            chaos=chaos,
            tls=tls,
            tls_cert=tls_cert,
            tls_key=tls_key,
        )
    )


@app.command()
def status(
    output: Annotated[str, typer.Option("--output", "-o", metavar="table|json")] = "table",
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Members, zones, roles, epoch, hit rates and lag of a running cluster."""
    from paceline_local.cli import operate

    return operate.show_status(base_port, admin, output)


@app.command()
def flush(
    table: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Only this table. (default: all)")
    ] = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Empty the caches of every node."""
    from paceline_local.cli import operate

    return operate.flush(base_port, admin, table)


@app.command("hotkeys")
def hot_keys(
    table: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Only this table's. (default: all)")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="How many.")] = 20,
    show: Annotated[
        bool, typer.Option("--show", help="The keys themselves, which are data of the tables.")
    ] = False,
    output: Annotated[str, typer.Option("--output", "-o", metavar="table|json")] = "table",
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Keys that were read most in the last minute or two, of all nodes together."""
    from paceline_local.cli import hot_keys as command

    return command.run(base_port, admin, table=table, count=count, show=show, output=output)


@app.command("log")
def request_log(
    table: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Only this table's. (default: all)")
    ] = None,
    slow: Annotated[bool, typer.Option("--slow", help="Only slow ones.")] = False,
    miss: Annotated[
        bool, typer.Option("--miss", help="Only what no cache has answered, writes apart.")
    ] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only what went wrong.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    count: Annotated[int, typer.Option(min=0, help="The last so many to begin with.")] = 50,
    output: Annotated[str, typer.Option("--output", "-o", metavar="text|json")] = "text",
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Requests that the nodes have served: what they were, how they ended, how long they took."""
    from paceline_local.cli import request_log as command

    wanted = command.Wanted(table=table, slow=slow, miss=miss, failed=failed)
    return command.run(base_port, admin, wanted, count=count, follow=follow, output=output)


@app.command()
def warm(
    table: Annotated[str, typer.Option(metavar="TABLE", help="Whose items to read.")],
    keys_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Keys: JSON or a plain value a line, or CSV; - is stdin."
        ),
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="EXPRESSION", help="A key condition, as 'id = :id'.")
    ] = None,
    scan: Annotated[bool, typer.Option("--scan", help="The table from its beginning.")] = False,
    index: Annotated[str | None, typer.Option(help="Query or scan this index.")] = None,
    names: Annotated[str | None, typer.Option(metavar="JSON", help="Of the expression.")] = None,
    values: Annotated[
        str | None, typer.Option(metavar="JSON", help='Of the expression: \'{":id": "x"}\'.')
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many keys.")] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="N/s", help="Reads a second, of all nodes together. (default: any)"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Note here how far it came, and go on from there."),
    ] = None,
    node: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this node. (default: all)")
    ] = None,
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Fill the caches of every node before they are needed."""
    from paceline_local.cli import warm as command

    return command.run(
        command.WarmOptions(
            table=table,
            keys_file=keys_file,
            query=query,
            scan=scan,
            index=index,
            names=names,
            values=values,
            limit=limit,
            rate=rate,
            resume=resume,
            nodes=node or (),
            base_port=base_port,
            admin=admin,
        )
    )


@app.command()
def health(
    url: Annotated[
        str | None, typer.Argument(help="/readyz or /healthz of a node or of discovery.")
    ] = None,
    dax: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Must give out a DAX roster.")
    ] = None,
    grpc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Must be serving gRPC.")
    ] = None,
) -> int:
    """Check one program, for containers: exit code 0 if it is healthy, else 1."""
    from paceline_local.cli import operate

    return operate.check_health(url, dax, grpc)


@app.command()
def doctor(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            help="dax://, daxs://, http://, https://, paceline:// or paceline+tls://HOST:PORT."
            " (default: PACELINE_ENDPOINT, or dax://127.0.0.1:8111)",
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Whether this one may be described.")
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Authorities to trust, PEM. (default: AWS_CA_BUNDLE)"),
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="text|json")] = "text",
    base_port: BasePort = 8000,
    admin: Admin = None,
) -> int:
    """Find out why a client does not reach a cluster, or is not answered, and what to do."""
    from paceline_local.cli import doctor as command

    return command.run(url, table, ca, output, base_port, admin)


@app.command(context_settings=_PASS_THROUGH)
def node(context: typer.Context) -> int:
    """Run one cache node (settings: environment PACELINE_… or --config FILE)."""
    from paceline_local.programs import become_server

    return become_server("node", context.args)


@app.command(context_settings=_PASS_THROUGH)
def discovery(context: typer.Context) -> int:
    """Run one discovery process (settings: environment PACELINE_… or --config FILE)."""
    from paceline_local.programs import become_server

    return become_server("discovery", context.args)


@app.command()
def version() -> int:
    """Print the version."""
    from importlib.metadata import version as installed_version

    sys.stdout.write(f"paceline {installed_version('paceline')}\n")
    return 0


@embedded_app.command("install")
def embedded_install() -> int:
    """Install the embedded DynamoDB into an environment of its own."""
    from paceline_local import embedded

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    embedded.install(tell)
    return 0


@embedded_app.command("run", context_settings={"help_option_names": ["-h", "--help"]})
def embedded_run(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8000,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep tables here. (default: in memory only)")
    ] = None,
) -> int:
    """Run the embedded DynamoDB alone, on 127.0.0.1."""
    from paceline_local import embedded
    from paceline_local.ports import check_free
    from paceline_local.programs import find_embedded

    find_embedded()
    argv, environment = embedded.command(port, data_dir)
    check_free([("embedded DynamoDB", port)])
    if data_dir is not None:
        data_dir.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"DynamoDB at http://{embedded.HOST}:{port} (Ctrl-C stops it)\n")
    sys.stdout.flush()
    os.execve(argv[0], argv, environment)


def run(argv: Sequence[str]) -> int:
    """The exit code of one command."""
    from paceline_local.cli.errors import print_error

    try:
        result: Any = typer.main.get_command(app).main(
            args=list(argv), prog_name="paceline", standalone_mode=False
        )
        return result if isinstance(result, int) else 0
    except ConfigError as error:
        print_error(str(error))
        return EXIT_USAGE
    except PacelineError as error:
        print_error(str(error))
        return EXIT_FAILED
    except (typer.Abort, KeyboardInterrupt):
        print_error("interrupted")
        return EXIT_FAILED
    except Exception as error:
        # Usage errors have no class that is public in every version of typer.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        text = str(explain()).rstrip()
        print_error(f"{text} ('paceline --help' tells what there is)" if text else "no command")
        return EXIT_USAGE


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

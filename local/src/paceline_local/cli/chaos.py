"""``paceline chaos``: make parts of a cluster that ``up --chaos`` started fail.

Only what every command line needs is imported here: health checks load this module too.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from paceline.errors import ConfigError
from paceline_local.cli.quantities import duration_s, rate_bytes_per_s

if TYPE_CHECKING:
    from paceline_local.chaos.client import Chaos

chaos_app = typer.Typer(
    help="Make parts of a cluster fail that was started by `paceline up --chaos`.",
    no_args_is_help=True,
)

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The cluster's chaos address, from its ready file."),
]
BasePort = Annotated[
    int, typer.Option("--base-port", metavar="P", help="That of 'paceline up', to find it.")
]
Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WHO]...",
        help="Nodes, 'discovery', 'primary', 'replicas' or 'zone:NAME'.",
        show_default=False,
    ),
]
Zone = Annotated[str | None, typer.Option(metavar="ZONE", help="Every node of these zones.")]
Primary = Annotated[bool, typer.Option("--primary", help="The node that is primary now.")]
For = Annotated[
    str | None, typer.Option("--for", metavar="DURATION", help="End it after so long, such as 10s.")
]
To = Annotated[
    list[str] | None,
    typer.Option(metavar="WHO", help="Only links to and from these.", show_default=False),
]
OneWay = Annotated[bool, typer.Option("--one-way", help="Only what the named ones send.")]
WithDynamoDB = Annotated[bool, typer.Option("--dynamodb", help="The links to DynamoDB as well.")]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="consensus|grpc|dax|dynamodb",
        help="Only links that carry this.",
        show_default=False,
    ),
]
Jitter = Annotated[str, typer.Option(metavar="DELAY", help="Vary it by up to this, such as 10ms.")]


@chaos_app.command()
def kill(
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    for_: For = None,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Kill (SIGKILL). They stay dead until restarted or healed."""
    chaos = _connect(url, base_port)
    names = chaos.kill(*(targets or ()), zone=zone, primary=primary, for_s=_for_s(for_))
    return _tell(f"killed {', '.join(names)}")


@chaos_app.command()
def pause(
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    for_: For = None,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Pause (SIGSTOP): it neither answers nor closes connections."""
    chaos = _connect(url, base_port)
    names = chaos.pause(*(targets or ()), zone=zone, primary=primary, for_s=_for_s(for_))
    return _tell(f"paused {', '.join(names)}")


@chaos_app.command()
def resume(
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Let paused ones go on; all of them if none is named."""
    chaos = _connect(url, base_port)
    names = chaos.resume(*(targets or ()), zone=zone, primary=primary)
    return _tell(f"resumed {', '.join(names) or 'nobody: none was paused'}")


@chaos_app.command()
def restart(
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    wait: Annotated[bool, typer.Option(help="Return when each is ready.")] = True,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Start dead ones again, stop and start others one by one; all dead ones if none is named."""
    chaos = _connect(url, base_port)
    names = chaos.restart(*(targets or ()), zone=zone, primary=primary, wait=wait)
    return _tell(f"restarted {', '.join(names) or 'nobody: none was dead'}")


@chaos_app.command()
def partition(
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GROUP]...",
            help="As in: node-1,node-2 node-3. A single group is parted from the rest.",
            show_default=False,
        ),
    ] = None,
    zone: Zone = None,
    primary: Primary = False,
    one_way: Annotated[
        bool, typer.Option("--one-way", help="Only what the first group sends is lost.")
    ] = False,
    cut: Annotated[
        bool, typer.Option("--cut", help="Reset and refuse connections instead of hanging.")
    ] = False,
    dynamodb: Annotated[
        bool, typer.Option("--dynamodb", help="DynamoDB is on the far side.")
    ] = False,
    channels: Channels = None,
    for_: For = None,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Part groups of nodes from each other: nothing arrives, and nobody is told."""
    sides = [side.strip() for group in groups or () for side in group.split("|")]
    fault = _connect(url, base_port).partition(
        *(side for side in sides if side),
        zone=zone,
        primary=primary,
        one_way=one_way,
        cut=cut,
        dynamodb=dynamodb,
        channels=channels or (),
        for_s=_for_s(for_),
    )
    return _tell_fault(fault, for_)


@chaos_app.command()
def latency(
    delay: Annotated[str, typer.Argument(metavar="DELAY", help="Added each way, such as 50ms.")],
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    jitter: Jitter = "0",
    to: To = None,
    one_way: OneWay = False,
    dynamodb: WithDynamoDB = False,
    channels: Channels = None,
    for_: For = None,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Make the links between the named ones and all others slow; all links if none is named."""
    fault = _connect(url, base_port).latency(
        duration_s(delay),
        *(targets or ()),
        zone=zone,
        primary=primary,
        jitter_s=duration_s(jitter),
        to=to or (),
        one_way=one_way,
        dynamodb=dynamodb,
        channels=channels or (),
        for_s=_for_s(for_),
    )
    return _tell_fault(fault, for_)


@chaos_app.command()
def bandwidth(
    rate: Annotated[str, typer.Argument(metavar="RATE", help="Bytes per second, such as 100KB.")],
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    to: To = None,
    one_way: OneWay = False,
    dynamodb: WithDynamoDB = False,
    channels: Channels = None,
    for_: For = None,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Limit what goes over each link of the named ones; of every link if none is named."""
    fault = _connect(url, base_port).bandwidth(
        rate_bytes_per_s(rate),
        *(targets or ()),
        zone=zone,
        primary=primary,
        to=to or (),
        one_way=one_way,
        dynamodb=dynamodb,
        channels=channels or (),
        for_s=_for_s(for_),
    )
    return _tell_fault(fault, for_)


@chaos_app.command()
def drop(
    probability: Annotated[
        float, typer.Argument(metavar="PROBABILITY", help="Of each piece of data, such as 0.01.")
    ],
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    to: To = None,
    one_way: OneWay = False,
    dynamodb: WithDynamoDB = False,
    channels: Channels = None,
    for_: For = None,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Reset connections at random, when data arrives on them."""
    fault = _connect(url, base_port).drop(
        probability,
        *(targets or ()),
        zone=zone,
        primary=primary,
        to=to or (),
        one_way=one_way,
        dynamodb=dynamodb,
        channels=channels or (),
        for_s=_for_s(for_),
    )
    return _tell_fault(fault, for_)


@chaos_app.command()
def throttle(
    share: Annotated[float, typer.Argument(metavar="SHARE", help="Of all requests, such as 0.3.")],
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    error: Annotated[
        str, typer.Option(metavar="NAME", help="The throttling error that is answered.")
    ] = "ProvisionedThroughputExceededException",
    for_: For = None,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Have DynamoDB refuse a share of the requests of all nodes, or of the named ones."""
    fault = _connect(url, base_port).throttle(
        share, *(targets or ()), zone=zone, primary=primary, error=error, for_s=_for_s(for_)
    )
    return _tell_fault(fault, for_)


@chaos_app.command()
def dynamodb(
    targets: Targets = None,
    zone: Zone = None,
    primary: Primary = False,
    down: Annotated[bool, typer.Option("--down", help="Refuse connections.")] = False,
    hang: Annotated[bool, typer.Option("--hang", help="Answer nothing.")] = False,
    slow: Annotated[
        str | None, typer.Option("--latency", metavar="DELAY", help="Added each way, such as 50ms.")
    ] = None,
    jitter: Jitter = "0",
    errors: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Answer this share of requests with status 500."),
    ] = None,
    after: Annotated[
        bool, typer.Option("--after", help="With --errors: after the request was carried out.")
    ] = False,
    for_: For = None,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """Make DynamoDB unreachable, slow or faulty for all nodes, or for the named ones."""
    if [down, hang, slow is not None, errors is not None].count(True) != 1:
        raise ConfigError("choose one of --down, --hang, --latency 50ms and --errors 0.1")
    chaos, words, for_s = _connect(url, base_port), targets or (), _for_s(for_)
    if slow is not None:
        fault = chaos.dynamodb_latency(
            duration_s(slow),
            *words,
            zone=zone,
            primary=primary,
            jitter_s=duration_s(jitter),
            for_s=for_s,
        )
    elif errors is not None:
        fault = chaos.dynamodb_errors(
            errors, *words, zone=zone, primary=primary, after=after, for_s=for_s
        )
    else:
        fault = chaos.dynamodb_down(*words, zone=zone, primary=primary, hang=hang, for_s=for_s)
    return _tell_fault(fault, for_)


@chaos_app.command()
def heal(
    fault: Annotated[int | None, typer.Argument(help="Only this one, as numbered.")] = None,
    links_only: Annotated[
        bool, typer.Option("--links-only", help="Leave paused and dead programs as they are.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Return when restarted ones are ready.")] = True,
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """End everything: link faults, pauses, and start what is dead."""
    _connect(url, base_port).heal(fault, links_only=links_only, wait=wait)
    return _tell("healed" if fault is None else f"fault {fault} is over")


@chaos_app.command()
def status(
    output: Annotated[str, typer.Option("--output", "-o", metavar="table|json")] = "table",
    url: Url = None,
    base_port: BasePort = 8000,
) -> int:
    """What is dead, paused, parted or slow now."""
    found = _connect(url, base_port).status()
    if output == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif output == "table":
        from paceline_local.cli.output import chaos_tables, console  # noqa: PLC0415  see the module

        for table in chaos_tables(found):
            console().print(table)
    else:
        raise ConfigError(f"--output {output!r} is neither 'table' nor 'json'")
    return 0


def _connect(url: str | None, base_port: int) -> Chaos:
    from paceline_local.chaos.client import Chaos  # noqa: PLC0415  see the module
    from paceline_local.ready_file import read_registry  # noqa: PLC0415

    if url is not None:
        return Chaos(url)
    entry = read_registry(base_port)
    if entry is None:
        raise ConfigError(
            f"no cluster of yours runs at base port {base_port}: start one with 'paceline up "
            "--chaos', or name one with --url"
        )
    chaos = entry.get("chaos")
    if chaos is None:
        raise ConfigError(
            f"the cluster at base port {base_port} runs without chaos: start it with 'paceline up "
            "--chaos'"
        )
    return Chaos(chaos["url"])


def _for_s(text: str | None) -> float | None:
    return None if text is None else duration_s(text)


def _tell(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    return 0


def _tell_fault(fault: int, for_: str | None) -> int:
    lasts = f"for {for_}, or until" if for_ is not None else "until"
    return _tell(f"fault {fault} is in effect {lasts} 'paceline chaos heal {fault}'")

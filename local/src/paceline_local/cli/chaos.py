"""``paceline chaos``: make parts of a cluster that ``up --chaos`` started fail.

Only what every command line needs is imported here: health checks load this module too.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from paceline.errors import ConfigError
from paceline_local.chaos.verbs import (
    Bandwidth,
    Drop,
    DynamoDBDown,
    DynamoDBErrors,
    DynamoDBLatency,
    Heal,
    Kill,
    Latency,
    Partition,
    Pause,
    Restart,
    Resume,
    Throttle,
    Verb,
)
from paceline_local.cli.quantities import duration_s, rate_bytes_per_s

if TYPE_CHECKING:
    from paceline_local.chaos.client import Chaos

V = TypeVar("V", bound=Verb)

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
Jitter = Annotated[
    str, typer.Option("--jitter", metavar="DELAY", help="Vary it by up to this, such as 10ms.")
]

_OPTIONS: Mapping[str, Any] = {
    "targets": Targets,
    "zone": Zone,
    "primary": Primary,
    "for_s": For,
    "to": To,
    "one_way": OneWay,
    "dynamodb": WithDynamoDB,
    "channels": Channels,
    "jitter_s": Jitter,
}
"""How a field of a verb is said on the command line, wherever it is not said otherwise."""


def _groups(words: Sequence[str]) -> list[list[str]]:
    sides = (side.strip() for group in words for side in group.split("|"))
    return [[side] for side in sides if side]


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "for_s": duration_s,
    "latency_s": duration_s,
    "jitter_s": duration_s,
    "bytes_per_s": rate_bytes_per_s,
    "groups": _groups,
}
"""What is written differently from how it is sent. Other values are sent as they are."""

_WRITTEN: Mapping[str, Any] = {"jitter_s": "0"}
"""Defaults as people write them."""


def _read(verb: type[V], given: Mapping[str, Any]) -> V:
    """The verb; what is None in ``given`` was not said."""
    said = {name: value for name, value in given.items() if value is not None}
    return verb(**{name: _READERS.get(name, lambda as_is: as_is)(said[name]) for name in said})


def _command(
    verb: type[Verb], text: str, told: Callable[[Any, Mapping[str, Any]], str], **own: Any
) -> None:
    """Makes a command of a verb: an option for each of its fields, typed as in ``own`` or else in
    ``_OPTIONS``. ``told`` says what was done, by the answer and by what was written."""

    def command(url: str | None, base_port: int, **given: Any) -> int:
        asked = _read(verb, given)
        return _tell(told(_connect(url, base_port).do(asked), given))

    types = {field.name: {**_OPTIONS, **own}[field.name] for field in fields(verb)}
    defaults = {
        field.name: _WRITTEN.get(field.name, field.default if field.default != () else None)
        for field in fields(verb)
        if field.default is not MISSING
    }
    types |= {"url": Url, "base_port": BasePort}
    defaults |= {"url": None, "base_port": 8000}
    # What has to be said comes first, then WHO, then options.
    order = sorted(types, key=lambda name: (name in defaults, name not in ("targets", "groups")))
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name, inspect.Parameter.empty),
                annotation=types[name],
            )
            for name in order
        ]
    )
    command.__annotations__ = types
    command.__name__ = verb.name
    chaos_app.command(verb.name, help=text)(command)


def _names_told(done: str, nobody: str = "") -> Callable[[Any, Mapping[str, Any]], str]:
    return lambda names, _: f"{done} {', '.join(names) or f'nobody: {nobody}'}"


def _fault_told(fault: Any, given: Mapping[str, Any]) -> str:
    for_ = given["for_s"]
    lasts = f"for {for_}, or until" if for_ is not None else "until"
    return f"fault {fault} is in effect {lasts} 'paceline chaos heal {fault}'"


def _heal_told(_: Any, given: Mapping[str, Any]) -> str:
    return "healed" if given["fault"] is None else f"fault {given['fault']} is over"


_command(Kill, "Kill (SIGKILL). They stay dead until restarted or healed.", _names_told("killed"))
_command(
    Pause, "Pause (SIGSTOP): it neither answers nor closes connections.", _names_told("paused")
)
_command(
    Resume,
    "Let paused ones go on; all of them if none is named.",
    _names_told("resumed", "none was paused"),
)
_command(
    Restart,
    "Start dead ones again, stop and start others one by one; all dead ones if none is named.",
    _names_told("restarted", "none was dead"),
    wait=Annotated[bool, typer.Option(help="Return when each is ready.")],
)
_command(
    Partition,
    "Part groups of nodes from each other: nothing arrives, and nobody is told.",
    _fault_told,
    groups=Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GROUP]...",
            help="As in: node-1,node-2 node-3. A single group is parted from the rest.",
            show_default=False,
        ),
    ],
    one_way=Annotated[
        bool, typer.Option("--one-way", help="Only what the first group sends is lost.")
    ],
    cut=Annotated[
        bool, typer.Option("--cut", help="Reset and refuse connections instead of hanging.")
    ],
    dynamodb=Annotated[bool, typer.Option("--dynamodb", help="DynamoDB is on the far side.")],
)
_command(
    Latency,
    "Make the links between the named ones and all others slow; all links if none is named.",
    _fault_told,
    latency_s=Annotated[str, typer.Argument(metavar="DELAY", help="Added each way, such as 50ms.")],
)
_command(
    Bandwidth,
    "Limit what goes over each link of the named ones; of every link if none is named.",
    _fault_told,
    bytes_per_s=Annotated[
        str, typer.Argument(metavar="RATE", help="Bytes per second, such as 100KB.")
    ],
)
_command(
    Drop,
    "Reset connections at random, when data arrives on them.",
    _fault_told,
    probability=Annotated[
        float, typer.Argument(metavar="PROBABILITY", help="Of each piece of data, such as 0.01.")
    ],
)
_command(
    Throttle,
    "Have DynamoDB refuse a share of the requests of all nodes, or of the named ones.",
    _fault_told,
    share=Annotated[float, typer.Argument(metavar="SHARE", help="Of all requests, such as 0.3.")],
    error=Annotated[
        str, typer.Option(metavar="NAME", help="The throttling error that is answered.")
    ],
)


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
    given = {"targets": targets, "zone": zone, "primary": primary, "for_s": for_}
    verb: Verb
    if slow is not None:
        verb = _read(DynamoDBLatency, {**given, "latency_s": slow, "jitter_s": jitter})
    elif errors is not None:
        verb = _read(DynamoDBErrors, {**given, "share": errors, "after": after})
    else:
        verb = _read(DynamoDBDown, {**given, "hang": hang})
    fault = _connect(url, base_port).do(verb)
    return _tell(_fault_told(fault, given))


_command(
    Heal,
    "End everything: link faults, pauses, and start what is dead.",
    _heal_told,
    fault=Annotated[int | None, typer.Argument(help="Only this one, as numbered.")],
    links_only=Annotated[
        bool, typer.Option("--links-only", help="Leave paused and dead programs as they are.")
    ],
    wait=Annotated[bool, typer.Option(help="Return when restarted ones are ready.")],
)


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


def _tell(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    return 0

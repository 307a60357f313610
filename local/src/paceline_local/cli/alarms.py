"""``paceline alarms``: the usual alarms of a cluster, in the CloudWatch that its discovery is."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paceline_local.cli.member import BasePort
from paceline_local.standard_alarms import alarms_of, names_of

if TYPE_CHECKING:
    from paceline_local.cloudwatch_asking import CloudWatchAsking

alarms_app = typer.Typer(
    help="The usual alarms: hit rate, CPU, memory, evictions, errors, lag, no primary.",
    no_args_is_help=True,
)

Cluster = Annotated[
    str, typer.Option("--cluster", metavar="NAME", help="As PACELINE_CLUSTER names it.")
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        envvar="AWS_ENDPOINT_URL_CLOUDWATCH",
        help="Discovery's port for AWS's services. (default: the local cluster's)",
    ),
]
Authorities = Annotated[
    str | None,
    typer.Option("--ca", metavar="FILE", envvar="AWS_CA_BUNDLE", help="Whom to trust by https."),
]


@alarms_app.command("put")
def put(
    cluster: Cluster = "paceline",
    action: Annotated[
        list[str] | None,
        typer.Option(
            "--action",
            metavar="NAME",
            help="Told with each change to discovery's PACELINE_ALARM_WEBHOOK and _COMMAND.",
        ),
    ] = None,
    period: Annotated[
        int | None,
        typer.Option(
            "--period", metavar="SECONDS", help="Of all of them, to try them out: 10 is the least."
        ),
    ] = None,
    endpoint: Endpoint = None,
    ca: Authorities = None,
    base_port: BasePort = 8000,
) -> int:
    """Put them, or put them right: as often as you like. Others' alarms stay as they are."""
    ask = _asking(endpoint, ca, base_port)
    for alarm in alarms_of(cluster, action or [], period):
        ask("PutMetricAlarm", alarm)
        sys.stdout.write(f"{alarm['AlarmName']}: {alarm['AlarmDescription']}\n")
    return 0


@alarms_app.command("list")
def show(
    cluster: Cluster = "paceline",
    endpoint: Endpoint = None,
    ca: Authorities = None,
    base_port: BasePort = 8000,
) -> int:
    """Their states, and why; 1 if one of them is in ALARM or is not there."""
    ask = _asking(endpoint, ca, base_port)
    found = _there(ask, cluster)
    calm = True
    for name in names_of(cluster):
        alarm = found.get(name, {"StateValue": "ABSENT", "StateReason": "'put' puts it there"})
        calm = calm and alarm["StateValue"] not in ("ALARM", "ABSENT")
        sys.stdout.write(f"{alarm['StateValue']:<18}{name}: {alarm['StateReason']}\n")
    return 0 if calm else 1


@alarms_app.command("remove")
def remove(
    cluster: Cluster = "paceline",
    endpoint: Endpoint = None,
    ca: Authorities = None,
    base_port: BasePort = 8000,
) -> int:
    """Take them away; whether or not they are there. Others' alarms stay."""
    ask = _asking(endpoint, ca, base_port)
    names = list(_there(ask, cluster))
    if names:
        ask("DeleteAlarms", {"AlarmNames": names})
    sys.stdout.write(f"{len(names)} removed\n")
    return 0


def _there(ask: "CloudWatchAsking", cluster: str) -> dict[str, Any]:
    """The usual ones that are there, by their names."""
    told = ask("DescribeAlarms", {"AlarmNames": names_of(cluster)})
    return {one["AlarmName"]: one for one in told.get("MetricAlarms", [])}


def _asking(endpoint: str | None, ca: str | None, base_port: int) -> "CloudWatchAsking":
    from paceline_local.cloudwatch_asking import CloudWatchAsking

    if endpoint is None:
        from paceline_local.cli.operate import find_cluster

        endpoint = str(find_cluster(base_port, None)["discovery"][0]["http"])
    return CloudWatchAsking(endpoint, ca)

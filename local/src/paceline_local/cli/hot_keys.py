"""``paceline hotkeys``: what all nodes say of their most read keys, put together."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from rich import box
from rich.table import Table

from paceline.errors import ConfigError
from paceline_local.cli.errors import print_error
from paceline_local.cli.operate import command_all, find_cluster
from paceline_local.cli.output import console

TELL_S = 10.0
ASKED_OF_EACH = 100
"""Keys: one that is not among a node's first may be among the first of all."""


def run(
    base_port: int, admin: str | None, *, table: str | None, count: int, show: bool, output: str
) -> int:
    """1 if a node was not reached; what the others say is shown all the same."""
    if output not in ("table", "json"):
        raise ConfigError(f"--output {output!r} is neither 'table' nor 'json'")
    query = {"count": str(ASKED_OF_EACH), "keys": "shown" if show else "hashed"}
    if table is not None:
        query["table"] = table
    nodes = find_cluster(base_port, admin)["nodes"]
    told, failed = command_all(nodes, lambda _: f"hot-keys?{urlencode(query)}", TELL_S)
    found = together((one for _, one in told), count)
    if output == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        console().print(_table(found, show=show))
    if failed:
        print_error("not asked: " + "; ".join(failed))
    return 1 if failed else 0


def together(told: Iterable[Mapping[str, Any]], count: int) -> dict[str, Any]:
    """The sum of what nodes have told, in the same form; ``seconds`` are the longest."""
    reads, seconds = 0, 0.0
    keys: dict[tuple[str, str], dict[str, Any]] = {}
    for one in told:
        reads += one["reads"]
        seconds = max(seconds, one["seconds"])
        for key in one["keys"]:
            place = key["table"], key["hash"]
            before = keys.get(place)
            if before is None:
                keys[place] = dict(key)
                continue
            before["reads_min"] += key["reads_min"]
            before["reads_max"] += key["reads_max"]
            before["key"] = before.get("key") or key.get("key")
            if before["key"] is None:
                del before["key"]
    hottest = sorted(keys.values(), key=lambda key: (-key["reads_min"], key["table"], key["hash"]))
    return {"reads": reads, "seconds": seconds, "keys": hottest[:count]}


def _table(found: Mapping[str, Any], *, show: bool) -> Table:
    reads, seconds = found["reads"], found["seconds"]
    table = Table(
        box=box.SIMPLE,
        pad_edge=False,
        caption=f"of about {reads} reads in the last {seconds:.0f} s, by one hit in sixteen",
        caption_justify="left",
    )
    table.add_column("table")
    table.add_column("key" if show else "hash of the key", overflow="fold")
    for heading in ("reads/s", "of all"):
        table.add_column(heading, justify="right")
    for one in found["keys"]:
        key = one.get("key")
        told = one["hash"] if key is None else json.dumps(key, ensure_ascii=False)
        share = 100 * one["reads_min"] / reads if reads else 0.0
        rate = one["reads_min"] / seconds if seconds else 0.0
        table.add_row(one["table"], told, f"{rate:.1f}", f"{share:.1f} %")
    return table

"""``paceline log``: the last lines of all nodes' request logs, in the order of their time."""

import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paceline.errors import ConfigError
from paceline_local.cli.errors import print_error
from paceline_local.cli.operate import command_all, find_cluster
from paceline_local.ready_file import NodeEntry

TELL_S = 10.0
FOLLOW_S = 1.0
"""The pause between two rounds: a node takes ten commands a second."""


@dataclass(frozen=True)
class Wanted:
    table: str | None = None
    slow: bool = False
    miss: bool = False
    failed: bool = False

    def takes(self, line: Mapping[str, Any]) -> bool:
        if self.table is not None and line.get("table") != self.table:
            return False
        if self.slow and not line.get("slow"):
            return False
        if self.failed and line.get("result") == "ok":
            return False
        return not self.miss or (
            line.get("cache") in ("miss", "bypass") and line.get("why") != "write"
        )


def run(
    base_port: int,
    admin: str | None,
    wanted: Wanted,
    *,
    count: int,
    follow: bool,
    output: str,
) -> int:
    """1 if a node was not reached; what the others have is shown all the same."""
    if output not in ("text", "json"):
        raise ConfigError(f"--output {output!r} is neither 'text' nor 'json'")
    nodes = find_cluster(base_port, admin)["nodes"]
    places: dict[str, int] = {}
    lines, failed = _asked(nodes, places, wanted)
    for problem in failed:
        print_error(problem)
    _show(lines[-count:] if count else [], output)
    while follow:
        time.sleep(FOLLOW_S)
        lines, failed = _asked(nodes, places, wanted)
        _show(lines, output)
    return 1 if failed else 0


def _asked(
    nodes: Iterable[NodeEntry], places: dict[str, int], wanted: Wanted
) -> tuple[list[dict[str, Any]], list[str]]:
    """``places``: by node, where it left off."""
    asked, failed = command_all(
        nodes, lambda node: f"request-log?after={places.get(node['id'], 0)}", TELL_S
    )
    lines: list[dict[str, Any]] = []
    for node, told in asked:
        name, after = node["id"], told["next"]
        # One that has started anew counts from nothing: its lines come with the next round.
        places[name] = after if after >= places.get(name, 0) else 0
        lines += [{"node": name, **line} for line in told["lines"] if wanted.takes(line)]
    lines.sort(key=lambda line: (line["time"], line["node"]))
    return lines, failed


def _show(lines: Iterable[Mapping[str, Any]], output: str) -> None:
    for line in lines:
        sys.stdout.write((json.dumps(line) if output == "json" else _text(line)) + "\n")
    sys.stdout.flush()


def _text(line: Mapping[str, Any]) -> str:
    cache = line.get("cache") or line.get("error") or line["result"]
    if line.get("why"):
        cache = f"{cache} ({line['why']})"
    place = "/".join(filter(None, (line.get("table"), line.get("index"))))
    more = [
        f"{name}={line[name]}"
        for name in ("principal", "address", "capacity", "trace", "stands_for")
        if name in line
    ]
    if "key" in line:
        more.append("key=" + json.dumps(line["key"], ensure_ascii=False))
    head = f"{line['time']} {line['node']} {line['protocol']:4} {line['operation']} {place}"
    return " ".join((head, cache, f"{line['latency_ms']:.3f} ms", *more))

"""What the command line prints: tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from paceline_local.chaos.client import ChaosStatus
    from paceline_local.ready_file import ClusterEntry, NodeEntry

DISK_CHARACTERS = 8
"""Of a disk's name, which is random: enough to tell one from another."""

WIDTH_WITHOUT_TERMINAL = 140
"""Endpoints in a log or pipe must stay on one line, so that they can be searched for."""


def console() -> Console:
    return Console(
        highlight=False,
        soft_wrap=False,
        width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL,
    )


def endpoints_table(entry: ClusterEntry) -> Table:
    """Every endpoint of a cluster that ``up`` has started."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("", "zone", "role", "DAX", "gRPC", "HTTP", "pid"):
        table.add_column(heading, overflow="fold")
    dynamodb = entry["dynamodb"]
    table.add_row("DynamoDB", "", "", "", "", dynamodb["endpoint"] or "AWS", _text(dynamodb["pid"]))
    for one in entry["discovery"]:
        table.add_row(
            "discovery", "", "", one["dax"], one["grpc"], _text(one["http"]), _text(one["pid"])
        )
    for node in entry["nodes"]:
        table.add_row(
            node["id"],
            node["zone"],
            _text(node["role"]),
            _text(node["dax"]),
            _text(node["grpc"]),
            "\n".join(filter(None, (node["http"], f"{_text(node['admin'])} (admin)"))),
            _text(node["pid"]),
        )
    return table


def status_table(entry: ClusterEntry) -> Table:
    """Members with what each does: role, cache, distance behind the primary."""
    table = Table(
        box=box.SIMPLE,
        pad_edge=False,
        title=f"epoch {entry['epoch']}",
        caption=_agreement(entry),
        caption_justify="left",
    )
    for heading, justify in (
        ("node", "left"),
        ("zone", "left"),
        ("role", "left"),
        ("cache", "left"),
        ("hit rate", "right"),
        ("items", "right"),
        ("size", "right"),
        ("lag", "right"),
        ("lease", "right"),
        ("up", "right"),
        ("DAX", "left"),
        ("pid", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for node in entry["nodes"]:
        table.add_row(*_status_row(node))
    return table


def further_lines(entry: ClusterEntry) -> list[str]:
    """A line for each cluster that the control plane has started beside this one."""
    return [
        f"cluster {one['name']}: {one['dax']}" + ("" if one["ready"] else " (starting)")
        for one in entry.get("further", [])
    ]


def members_table(log: Mapping[str, Any]) -> Table:
    """Of the section ``log`` of a node's status."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("node", "address", "part", "disk"):
        table.add_column(heading)
    for node, member in (log.get("members") or {}).items():
        part = _text(member.get("part"))
        leads = " (leads)" if node == log.get("leader") else ""
        disk = _text(member.get("disk"))[:DISK_CHARACTERS]
        table.add_row(node, _text(member.get("address")), part + leads, disk)
    return table


def principals_table(principals: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("principal", "access keys", "tags", "policies", "upstream"):
        table.add_column(heading)
    for one in principals:
        name = str(one["name"])
        if "trouble" in one:
            table.add_row(name, str(one["trouble"]), "", "", "")
            continue
        keys = [key["id"] + (" (disabled)" if key["disabled"] else "") for key in one["keys"]]
        tags = [f"{key}={value}" for key, value in one["tags"].items()]
        table.add_row(
            name + (" (disabled)" if one["disabled"] else ""),
            "\n".join(keys),
            "\n".join(tags),
            "\n".join(one["policies"]),
            "\n".join((one.get("upstream") or {}).values()),
        )
    return table


def roles_table(roles: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("role", "ARN", "sessions", "tags", "policies", "upstream"):
        table.add_column(heading, overflow="fold")
    for one in roles:
        name = str(one["name"])
        if "trouble" in one:
            table.add_row(name, str(one["trouble"]), "", "", "", "")
            continue
        table.add_row(
            name + (" (disabled)" if one["disabled"] else ""),
            str(one["arn"]),
            f"up to {_duration(one['session_max_s'])}",
            "\n".join(f"{key}={value}" for key, value in one["tags"].items()),
            "\n".join(one["policies"]),
            "\n".join((one.get("upstream") or {}).values()),
        )
    return table


def chaos_tables(found: ChaosStatus) -> list[Table]:
    """Programs as they are, and the faults that are in effect."""
    programs = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("", "zone", "state", "role", "pid"):
        programs.add_column(heading)
    for one in found["programs"]:
        programs.add_row(
            one["name"], _text(one["zone"]), one["state"], _text(one["role"]), str(one["pid"])
        )
    faults = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("fault", "", "left"):
        faults.add_column(heading)
    for fault in found["faults"]:
        left_s = fault["left_s"]
        left = "until healed" if left_s is None else _seconds(left_s)
        faults.add_row(str(fault["id"]), fault["fault"], left)
    if not found["faults"]:
        faults.add_row("none")
    return [programs, faults]


def _status_row(node: NodeEntry) -> list[str]:
    cache: Mapping[str, Any] = node.get("cache") or {}
    replication: Mapping[str, Any] = node.get("replication") or {}
    alive = node.get("alive", True)
    serving = node.get("serving")
    return [
        node["id"],
        node["zone"],
        _text(node["role"]) if alive else "no answer",
        "" if serving is None else "serving" if serving else "passing through",
        _hit_rate(cache),
        _text(cache.get("items")),
        _size(cache.get("bytes")),
        _text(replication.get("lag_messages")),
        _seconds(replication.get("lease_remaining_s")),
        _duration(node.get("uptime_s")),
        _text(node["dax"]),
        _text(node["pid"]),
    ]


def _agreement(entry: ClusterEntry) -> str | None:
    """What the primary's auditor found; None if there is no primary, or it does not audit."""
    primary = next((node for node in entry["nodes"] if node["role"] == "primary"), None)
    audit: Mapping[str, Any] = (primary.get("audit") if primary is not None else None) or {}
    hour: Mapping[str, Any] = audit.get("hour") or {}
    if not audit.get("reads_per_s"):
        return None
    if not hour.get("keys"):
        return "auditor: no cached item compared with DynamoDB in the last hour"
    told = (
        f"auditor: {hour['disagreements']} of {hour['keys']} cached items differed from DynamoDB "
        f"in the last hour, which proves {hour['nines']:.1f} nines of agreement"
    )
    last = audit.get("last_disagreement")
    if last:
        nodes = ", ".join(accused["node"] for accused in last["nodes"])
        told += f"\nlast: table {last['table']}, key {last['key_sha256']}, {nodes}, {last['at']}"
    return told


def _hit_rate(cache: Mapping[str, Any]) -> str:
    asked = int(cache.get("hits") or 0) + int(cache.get("misses") or 0)
    return f"{100 * int(cache['hits']) / asked:.1f} %" if asked else ""


def _size(count: Any) -> str:
    if not isinstance(count, int | float):
        return ""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _seconds(value: Any) -> str:
    return f"{value:.1f} s" if isinstance(value, int | float) else ""


def _duration(value: Any) -> str:
    if not isinstance(value, int | float):
        return ""
    seconds = int(value)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _text(value: Any) -> str:
    return "" if value is None else str(value)

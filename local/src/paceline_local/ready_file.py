"""The JSON that tells scripts where a cluster is: every endpoint, pid, zone and role."""

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from paceline.errors import ConfigError
from paceline_local.certificates import TlsFiles
from paceline_local.chaos.layout import DISCOVERY, DYNAMODB
from paceline_local.plan import ClusterPlan


class DynamoDBEntry(TypedDict):
    """``endpoint`` is null for AWS; ``pid`` is null unless it is the embedded one."""

    endpoint: str | None
    pid: int | None


class DiscoveryEntry(TypedDict):
    dax: str
    grpc: str
    http: str | None
    pid: int | None
    dax_tls: NotRequired[str | None]
    grpc_tls: NotRequired[str | None]
    https: NotRequired[str | None]


class NodeEntry(TypedDict):
    """``role`` is null for a node that does not answer. ``alive`` and what follows it are there
    only in ``paceline status``."""

    id: str
    zone: str
    role: str | None
    dax: str | None
    http: str | None
    grpc: str | None
    admin: str | None
    pid: int | None
    dax_tls: NotRequired[str | None]
    https: NotRequired[str | None]
    grpc_tls: NotRequired[str | None]
    alive: NotRequired[bool]
    serving: NotRequired[bool]
    cache: NotRequired[dict[str, Any]]
    replication: NotRequired[dict[str, Any]]
    audit: NotRequired[dict[str, Any]]
    uptime_s: NotRequired[float]
    version: NotRequired[str]


class ChaosEntry(TypedDict):
    """Where the commands of ``paceline chaos`` go, and the process that all links go through."""

    url: str
    pid: int | None


class FurtherEntry(TypedDict):
    """A cluster that the control plane has started. ``ready``: for clients; ``dax_tls``: null where
    it has no ports with TLS."""

    name: str
    ready: bool
    dax: str
    dax_tls: str | None


class ClusterEntry(TypedDict):
    """A cluster as ``paceline up --ready-file`` and ``paceline status --output json`` tell it.

    Keys of front ends that do not exist are null; ``chaos`` is, unless it was asked for, and so
    are ``dax_tls``, ``https`` and ``grpc_tls``. ``ca``: the certificate of the authority to trust
    there, null for a certificate that was given. ``further``: clusters beside it, by name.
    """

    dax: str | None
    epoch: int
    dynamodb: DynamoDBEntry
    discovery: list[DiscoveryEntry]
    nodes: list[NodeEntry]
    chaos: ChaosEntry | None
    dax_tls: NotRequired[str | None]
    ca: NotRequired[str | None]
    further: NotRequired[list[FurtherEntry]]


def further_entries(told: Mapping[str, Mapping[str, Any]]) -> list[FurtherEntry]:
    """``told``: by names, as ``FurtherClusters.told`` does."""
    return [
        {
            "name": name,
            "ready": bool(one["ready"]),
            "dax": f"dax://{one['host']}:{one['port']}",
            "dax_tls": f"daxs://{one['host']}:{one['tls_port']}" if one["tls_port"] else None,
        }
        for name, one in sorted(told.items())
    ]


def entry_of(plan: ClusterPlan, pids: Mapping[str, int], tls: TlsFiles | None) -> ClusterEntry:
    """A cluster whose programs have just been started, before anybody asked for roles and epoch.
    ``pids``: by node id, ``DISCOVERY`` and ``DYNAMODB``."""
    return {
        "dax": plan.discovery_dax,
        "epoch": 0,
        "dynamodb": {"endpoint": plan.dynamodb.endpoint or None, "pid": pids.get(DYNAMODB)},
        "discovery": [
            {
                "dax": plan.discovery_dax,
                "grpc": plan.discovery_grpc,
                "http": plan.discovery_http,
                "dax_tls": plan.discovery_dax_tls if tls else None,
                "grpc_tls": plan.discovery_grpc_tls if tls else None,
                "https": plan.discovery_https if tls else None,
                "pid": pids[DISCOVERY],
            }
        ],
        "nodes": [
            {
                "id": node.id,
                "zone": node.zone,
                "role": None,
                "dax": node.dax,
                "http": node.http,
                "grpc": node.grpc,
                "dax_tls": node.dax_tls if tls else None,
                "https": node.https if tls else None,
                "grpc_tls": node.grpc_tls if tls else None,
                "admin": node.admin,
                "pid": pids[node.id],
            }
            for node in plan.nodes
        ],
        "chaos": None,
        "dax_tls": plan.discovery_dax_tls if tls else None,
        "ca": str(tls.ca) if tls and tls.ca else None,
    }


def write_ready_file(path: Path, entry: ClusterEntry) -> None:
    """Replace ``path`` in one step: a reader sees the old content, none, or all of the new."""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(entry, file, indent=2)
            file.write("\n")
        Path(temporary).replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def clear_ready_file(path: Path) -> None:
    """Make sure that ``path`` can be written and that nobody takes an old file for the new one.

    ConfigError if something else than an old ready file is there.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"{path} cannot be written: {path.parent} is no directory")
    if not path.exists():
        return
    if not path.is_file() or (path.stat().st_size and _read(path) is None):
        raise ConfigError(f"{path} exists and is no ready file: choose another name")
    remove_ready_file(path)


def remove_ready_file(path: Path) -> None:
    """A file that names processes which are gone misleads; OSError does not matter then."""
    with contextlib.suppress(OSError):
        path.unlink()


def _read(path: Path) -> ClusterEntry | None:
    try:
        found: ClusterEntry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "nodes" in found else None


def registry_path(base_port: int) -> Path:
    """Where ``up`` leaves its entry for the ``paceline status`` of the same user."""
    return Path(tempfile.gettempdir()) / f"paceline-{os.getuid()}" / f"up-{base_port}.json"


def write_registry(base_port: int, entry: ClusterEntry) -> None:
    path = registry_path(base_port)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if _is_ours(path.parent):
        write_ready_file(path, entry)


def read_registry(base_port: int) -> ClusterEntry | None:
    """The entry that an ``up`` at ``base_port`` left, whether or not it still runs."""
    path = registry_path(base_port)
    return _read(path) if _is_ours(path.parent) else None


def _is_ours(directory: Path) -> bool:
    """In a shared temporary directory anybody may have made a directory of this name first."""
    return directory.is_dir() and directory.stat().st_uid == os.getuid()

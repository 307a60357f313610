"""The environment that tells each child process its settings.

The names are those of the server programs' settings (``PACELINE_…``, nested values with a double
underscore, lists and maps as JSON). They are written by name here, since what an application
installs does not import the servers; a test that sees both parses them.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from paceline_local.certificates import TlsFiles
from paceline_local.chaos.layout import DISCOVERY, Detours
from paceline_local.plan import ClusterPlan, NodePlan

STOP_GRACE_S = 3.0
"""How long a program may take to stop by itself. On one machine nobody waits for a hand-over."""

_PASSED_ON = (
    "PACELINE_ACCESS__",
    "PACELINE_AUDIT__",
    "PACELINE_CACHE__",
    "PACELINE_LEASE__",
    "PACELINE_LIMITS__",
    "PACELINE_CONNECTIONS_MAX",
    "PACELINE_DRAIN_S",
    "PACELINE_LOG_LEVEL",
    "PACELINE_PENDING_MAX",
    "PACELINE_TRACES",
    "PACELINE_DYNAMODB__CONNECT_TIMEOUT_S",
    "PACELINE_DYNAMODB__READ_TIMEOUT_S",
    "PACELINE_DYNAMODB__CONNECTIONS_MAX",
    "PACELINE_DYNAMODB__SCHEMA_CHECK_S",
    "PACELINE_DYNAMODB__STS_ENDPOINT",
)
"""Settings that a user may give to every node by setting them for ``paceline up``. All others
describe one process, and one left over from another cluster must not reach these."""


def asks_who(environ: Mapping[str, str]) -> bool:
    """Whether a cluster that is started so lets in only who signs."""
    return environ.get("PACELINE_ACCESS__AUTHENTICATION", "off") != "off"


def base_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What children inherit of ``environ``, by default the process's own.

    Left out is what would change a child's identity or how its Python starts.
    """
    kept = {
        name: value
        for name, value in (os.environ if environ is None else environ).items()
        if not name.startswith("PACELINE_") or name.startswith(_PASSED_ON)
    }
    # A debugger's or another project's choices; the children run in this interpreter's venv.
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONINSPECT", "PYTHONSTARTUP"):
        kept.pop(name, None)
    kept["PYTHONUNBUFFERED"] = "1"
    return kept


def node_environment(
    plan: ClusterPlan,
    node: NodePlan,
    *,
    data_dir: Path,
    secret_file: Path,
    principals_key_file: Path,
    untouched_file: Path | None = None,
    detours: Detours | None = None,
    tls: TlsFiles | None = None,
) -> dict[str, str]:
    """Settings of one node, without ``PACELINE_PARENT_FD``, which the supervisor adds.

    ``detours``: the proxies through which it reaches the others. ``tls``: ports with TLS, too.
    """
    settings = {
        **_common(secret_file, principals_key_file, tls),
        "PACELINE_NODE_ID": node.id,
        "PACELINE_ZONE": node.zone,
        "PACELINE_DATA_DIR": str(data_dir),
        "PACELINE_LISTENERS": _listeners(
            node.host, node.ports.dax, node.ports.dax_tls if tls else None
        ),
        "PACELINE_HTTP_BIND": f"{node.host}:{node.ports.http}",
        "PACELINE_GRPC_BIND": node.grpc,
        "PACELINE_ADMIN_BIND": f"{node.host}:{node.ports.admin}",
        "PACELINE_MEMBERS_BIND": node.consensus,
        "PACELINE_PEERS": json.dumps({peer.id: peer.consensus for peer in plan.nodes}),
        "PACELINE_DYNAMODB__ENDPOINT": plan.dynamodb.endpoint,
        "PACELINE_DYNAMODB__REGION": plan.region,
        "PACELINE_DYNAMODB__CREDENTIALS": plan.dynamodb.credentials,
    }
    if tls is not None:
        settings["PACELINE_HTTPS_BIND"] = f"{node.host}:{node.ports.https}"
        settings["PACELINE_GRPC_TLS_BIND"] = node.grpc_tls
    if plan.name:
        settings["PACELINE_CLUSTER"] = plan.name
    if plan.cache_bytes is not None:
        settings["PACELINE_CACHE__BYTES_MAX"] = str(plan.cache_bytes)
    if untouched_file is not None:
        settings["PACELINE_DYNAMODB__UNTOUCHED_FILE"] = str(untouched_file)
    if plan.lease is not None:
        settings["PACELINE_LEASE__PRIMARY_S"] = str(plan.lease.primary_s)
        settings["PACELINE_LEASE__RENEW_S"] = str(plan.lease.renew_s)
        settings["PACELINE_LEASE__READ_S"] = str(plan.lease.read_s)
    if detours is not None:
        settings["PACELINE_DIAL_MAP"] = json.dumps(detours.dial_map(node.id))
        settings["PACELINE_DYNAMODB__ENDPOINT"] = (
            detours.dynamodb_endpoint(node.id) or plan.dynamodb.endpoint
        )
    return settings


def discovery_environment(
    plan: ClusterPlan,
    *,
    secret_file: Path,
    principals_key_file: Path,
    detours: Detours | None = None,
    tls: TlsFiles | None = None,
    launcher_socket: Path | None = None,
) -> dict[str, str]:
    """Settings of the discovery process, without ``PACELINE_PARENT_FD``. ``launcher_socket``: where
    it may have nodes started and stopped."""
    dial_map = {} if detours is None else detours.dial_map(DISCOVERY)
    return {
        **_common(secret_file, principals_key_file, tls),
        "PACELINE_REGION": plan.region,
        "PACELINE_LISTENERS": _listeners(
            plan.host, plan.ports.discovery_dax, plan.ports.discovery_dax_tls if tls else None
        ),
        "PACELINE_GRPC_BIND": plan.discovery_grpc,
        **({"PACELINE_GRPC_TLS_BIND": plan.discovery_grpc_tls} if tls else {}),
        **(
            {"PACELINE_CLUSTER": plan.name, "PACELINE_HTTP_BIND": ""}
            if plan.name
            else _services(plan, secret_file.with_name("metrics.sqlite"), tls)
        ),
        **({"PACELINE_LAUNCHER_SOCKET": str(launcher_socket)} if launcher_socket else {}),
        "PACELINE_SEEDS": json.dumps([node.consensus for node in plan.nodes]),
        **({"PACELINE_DIAL_MAP": json.dumps(dial_map)} if dial_map else {}),
    }


def _services(plan: ClusterPlan, metrics_file: Path, tls: TlsFiles | None) -> dict[str, str]:
    """AWS's own services, which are the home cluster's for all clusters."""
    return {
        "PACELINE_HTTP_BIND": f"{plan.host}:{plan.ports.discovery_http}",
        **({"PACELINE_HTTPS_BIND": f"{plan.host}:{plan.ports.discovery_https}"} if tls else {}),
        "PACELINE_METRICS_FILE": str(metrics_file),
    }


def _common(secret_file: Path, principals_key_file: Path, tls: TlsFiles | None) -> dict[str, str]:
    certificate = {}
    if tls is not None:
        certificate = {
            "PACELINE_TLS__CERT_FILE": str(tls.cert),
            "PACELINE_TLS__KEY_FILE": str(tls.key),
        }
    return {
        **certificate,
        "PACELINE_SECRET_FILE": str(secret_file),
        "PACELINE_ACCESS__PRINCIPALS_KEY_FILE": str(principals_key_file),
        "PACELINE_STOP_GRACE_S": str(STOP_GRACE_S),
    }


def _listeners(host: str, port: int, tls_port: int | None) -> str:
    listeners: list[dict[str, object]] = [{"name": "default", "bind": f"{host}:{port}"}]
    if tls_port is not None:
        listeners.append({"name": "tls", "bind": f"{host}:{tls_port}", "tls": True})
    return json.dumps(listeners)

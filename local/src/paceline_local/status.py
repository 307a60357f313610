"""Gathers what a running cluster says of itself from its nodes' admin addresses."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from paceline.errors import PacelineError, Unavailable
from paceline_local.admin_token import read_headers
from paceline_local.ports import LOOPBACK, NODES_MAX, make_ports
from paceline_local.probes import PROBE_S, WantsToken, get_json
from paceline_local.ready_file import ClusterEntry, NodeEntry, read_registry

Status = dict[str, Any]
"""The answer of one node's ``/status``."""

_DETAILS = ("serving", "cache", "replication", "audit", "uptime_s", "version")


def fetch_statuses(
    admins: Sequence[str], timeout_s: float = PROBE_S, *, guessed: bool = False
) -> dict[str, Status | Unavailable]:
    """``/status`` of every admin URL, asked at the same time; what did not answer says why.

    The user's token is good for commands, so it is shown to who asks for it alone, and never at
    ports that are ``guessed``: anybody on this machine may be there.
    """

    def ask(url: str) -> Status:
        try:
            return get_json(url, timeout_s)
        except WantsToken:
            headers = {} if guessed else read_headers()
            if not headers:
                raise
            return get_json(url, timeout_s, headers)

    def fetch(admin: str) -> Status | Unavailable:
        try:
            found = ask(f"{admin.rstrip('/')}/status")
            if not isinstance(found.get("members"), list):
                raise Unavailable(f"{admin} answers as no Paceline node does: it names no members")
            return found
        except Unavailable as error:
            return error

    if not admins:
        return {}
    with ThreadPoolExecutor(max_workers=len(admins)) as pool:
        return dict(zip(admins, pool.map(fetch, admins), strict=True))


def with_roles(entry: ClusterEntry, statuses: Mapping[str, Status | Unavailable]) -> ClusterEntry:
    """``entry`` with roles, pids and epoch as ``statuses`` (by admin URL) tell them.

    A node that does not answer has no role. One that still calls itself primary of an epoch that
    others have left is not the primary.
    """
    answers = {admin: s for admin, s in statuses.items() if isinstance(s, dict)}
    epoch = max((int(s.get("epoch") or 0) for s in answers.values()), default=0)
    nodes: list[NodeEntry] = []
    for node in entry["nodes"]:
        status = answers.get(node["admin"] or "")
        role, pid = None, node["pid"]
        if status is not None:
            role = status.get("role")
            # Somebody else may have started a node again that had died.
            pid = status.get("pid", pid)
            if role == "primary" and int(status.get("epoch") or 0) < epoch:
                role = "replica"
        nodes.append({**node, "role": role, "pid": pid})
    return {**entry, "epoch": epoch or entry["epoch"], "nodes": nodes}


def cluster_status(
    admins: Sequence[str], base: ClusterEntry | None = None, *, guessed: bool = False
) -> ClusterEntry:
    """The cluster that the nodes at these admin URLs belong to, with every member's details.

    ``base`` adds what nodes do not know: discovery and DynamoDB processes. Unavailable if no node
    answers.
    """
    statuses = fetch_statuses(admins, guessed=guessed)
    answers = {admin: s for admin, s in statuses.items() if isinstance(s, dict)}
    if not answers:
        reasons = [str(error) for error in statuses.values()]
        raise Unavailable(reasons[0] if len(reasons) == 1 else "no node answers")
    members = _members(answers.values())
    others = [admin for admin in members.values() if admin and admin not in statuses]
    answers |= {
        a: s for a, s in fetch_statuses(others, guessed=guessed).items() if isinstance(s, dict)
    }
    by_id = {str(status.get("id")): (admin, status) for admin, status in answers.items()}
    best = max(answers.values(), key=lambda s: int(s.get("epoch") or 0))
    known = {node["id"]: node for node in base["nodes"]} if base is not None else {}
    records: dict[str, Mapping[str, Any]] = {
        **{str(m["id"]): m for m in best.get("members", [])},
        **{i: s for i, (_, s) in by_id.items() if i not in {m["id"] for m in best["members"]}},
    }
    nodes = [
        _node(record, known.get(node_id), *by_id.get(node_id, (members.get(node_id), None)))
        for node_id, record in sorted(records.items(), key=lambda pair: _order(pair[0]))
    ]
    entry: ClusterEntry = {
        "dax": base["dax"] if base is not None else None,
        "epoch": int(best.get("epoch") or 0),
        "dynamodb": base["dynamodb"] if base is not None else {"endpoint": None, "pid": None},
        "discovery": base["discovery"] if base is not None else [],
        "nodes": nodes,
        "chaos": base.get("chaos") if base is not None else None,
        "dax_tls": base.get("dax_tls") if base is not None else None,
        "ca": base.get("ca") if base is not None else None,
        "further": base.get("further", []) if base is not None else [],
    }
    return with_roles(entry, answers)


def local_cluster_status(base_port: int) -> ClusterEntry:
    """The cluster that ``paceline up`` started at ``base_port``; Unavailable if none answers."""
    base = read_registry(base_port)
    ports = make_ports(base_port)
    if base is not None:
        admins = [node["admin"] for node in base["nodes"] if node["admin"]]
    else:
        admins = [f"http://{LOOPBACK}:{ports.node(i).admin}" for i in range(1, NODES_MAX + 1)]
    try:
        return cluster_status(admins, base, guessed=base is None)
    except PacelineError as error:
        raise Unavailable(
            f"no cluster runs at base port {base_port} ({error}): start one with 'paceline up', or "
            "name a node's admin address with --admin http://HOST:PORT"
        ) from error


def _members(statuses: Any) -> dict[str, str | None]:
    """Admin URL of every member that any node knows."""
    found: dict[str, str | None] = {}
    for status in statuses:
        for member in status.get("members", []):
            address = (member.get("addresses") or {}).get("admin")
            found.setdefault(str(member["id"]), f"http://{address}" if address else None)
    return found


def _node(
    record: Mapping[str, Any],
    known: NodeEntry | None,
    admin: str | None,
    status: Status | None,
) -> NodeEntry:
    addresses = record.get("addresses") or {}
    dax, dax_tls = _dax(addresses, "dax"), _dax(addresses, "dax-tls")
    http, https = addresses.get("http"), addresses.get("https")
    node: NodeEntry = {
        "id": str(record["id"]),
        "zone": str(record.get("zone") or (known["zone"] if known else "")),
        "role": None,
        "dax": f"dax://{dax}" if dax else (known["dax"] if known else None),
        "http": f"http://{http}" if http else None,
        "grpc": addresses.get("grpc") or (known["grpc"] if known else None),
        "dax_tls": f"daxs://{dax_tls}" if dax_tls else None,
        "https": f"https://{https}" if https else None,
        "grpc_tls": addresses.get("grpc-tls"),
        "admin": admin or (known["admin"] if known else None),
        "pid": known["pid"] if known else None,
        "alive": status is not None,
    }
    if status is not None:
        node["pid"] = status.get("pid")
        for name in _DETAILS:
            if name in status:
                node[name] = status[name]  # type: ignore[literal-required]
    return node


def _dax(addresses: Mapping[str, str], kind: str) -> str | None:
    """The address of the listener ``default``, or of the first one by name."""
    return addresses.get(f"{kind}/default") or next(
        (a for name, a in sorted(addresses.items()) if name.startswith(f"{kind}/")), None
    )


def _order(node_id: str) -> tuple[int, str]:
    """Sorts node-2 before node-10."""
    return len(node_id), node_id

"""The node's admin port: what it tells, and the commands that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cluster.service.admin_http import AdminServer
from cluster.service.admin_token import AdminToken
from cluster.service.commands import AdminCommand
from cluster.settings import NodeSettings
from node.admin.status import NodeStatus

if TYPE_CHECKING:
    from cluster.service.audit_log import AuditLog


def admin_port(
    settings: NodeSettings,
    status: NodeStatus,
    unready: Callable[[], str | None],
    token: AdminToken,
    commands: Mapping[str, AdminCommand],
    audit: AuditLog | None,
) -> AdminServer:
    """Not started yet. ``commands``: by the path of their POST."""
    admin = AdminServer(
        unready=unready,
        status=status.as_dict,
        registry=status.registry(),
        insecure=settings.insecure or settings.admin_insecure,
        hosts=[*settings.admin_hosts, *filter(None, [settings.admin_advertise])],
        token=token,
        tell=None if audit is None else audit.tell,
        readers=settings.admin_readers,
        read_token=token.read_value,
        socket=settings.admin_socket,
    )
    for path, command in commands.items():
        admin.command(path, command)
    return admin

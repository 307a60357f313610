"""All commands of operators but the flush, which is of the cluster's data."""

from __future__ import annotations

from collections.abc import Mapping

from cluster.agent import Agent
from cluster.service.authentication import Authentication
from cluster.service.commands import AdminCommand
from node.admin.hot_keys import HotKeysCommand
from node.admin.members import MemberCommands
from node.admin.principals import PrincipalCommands
from node.admin.request_log import RequestLogCommand
from node.admin.roles import RoleCommands
from node.admin.sealed_log import SealedLog
from node.admin.status import NodeStatus
from node.admin.table_policies import TablePolicyCommands
from node.operations import Operations
from paceline.clock import now


def commands_of(
    agent: Agent, status: NodeStatus, access: Authentication, operations: Operations
) -> Mapping[str, AdminCommand]:
    """By the path of their POST. ``status`` gets what there is to tell of members and callers."""
    members = MemberCommands(agent, status.node_id)
    status.add("log", members.as_dict, ())
    status.add("access", access.as_dict, access.series())
    more = HotKeysCommand(operations, now).commands
    if operations.work.log is not None:
        requests = RequestLogCommand(operations.work.log)
        status.add("request_log", requests.as_dict, requests.series())
        more = {**more, **requests.commands}
    log = SealedLog(agent, access.in_log, access.seal)
    kinds = (PrincipalCommands(log), RoleCommands(log), TablePolicyCommands(log))
    return {
        **members.commands,
        **more,
        **{path: one for kind in kinds for path, one in kind.commands.items()},
    }

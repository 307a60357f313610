"""Operators' commands on the policies of tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.access.table_records import IN_LOG, TableRecord
from cluster.service.commands import AdminCommand
from node.admin.sealed_log import Query, SealedLog, checked, given
from paceline.errors import RequestError


class TablePolicyCommands:
    def __init__(self, log: SealedLog) -> None:
        self._log = log

    @property
    def commands(self) -> Mapping[str, AdminCommand]:
        """By the path of their POST."""
        verbs = (self.show, self.attach, self.detach)
        return {f"/table-policies/{verb.__name__}": verb for verb in verbs}

    async def show(self, query: Query) -> dict[str, Any]:
        """Of all tables that have any, or of ``table``."""
        names = [given(query, "table")] if "table" in query else self._log.names(IN_LOG)
        return {"tables": [self._told(name) for name in names]}

    async def attach(self, query: Query) -> dict[str, Any]:
        """``table``, ``name``, ``policy``: its text, in place of one of the same name."""
        table, name, text = (given(query, one) for one in ("table", "name", "policy"))
        before = self._record(table)
        record = before or checked(lambda: TableRecord(table))
        after = checked(lambda: _with(record, name, text))
        await self._log.put(after, creates=before is None)
        return self._shown(after)

    async def detach(self, query: Query) -> dict[str, Any]:
        """``table``, ``name``."""
        table, name = given(query, "table"), given(query, "name")
        record = self._record(table)
        if record is None or name not in record.policies:
            raise RequestError(
                "ValidationException",
                f"the log has no policy {name} of {table}; 'paceline policy show {table}'",
            )
        left = {one: text for one, text in record.policies.items() if one != name}
        after = replace(record, policies=left)
        if left:
            await self._log.put(after, creates=False)
        else:
            await self._log.remove(record.name_in_log)
        return self._shown(after)

    def _record(self, table: str) -> TableRecord | None:
        """RequestError for one that cannot be opened: it would be lost."""
        record = self._log.record(IN_LOG + table, TableRecord)
        if record is None and table in self._log.names(IN_LOG):
            raise RequestError(
                "ValidationException",
                f"the policies of {table} were sealed with a key that this node does not have",
            )
        return record

    def _told(self, table: str) -> dict[str, Any]:
        return self._shown(self._record(table) or checked(lambda: TableRecord(table)))

    @staticmethod
    def _shown(record: TableRecord) -> dict[str, Any]:
        return {"table": record.name, "policies": dict(record.policies)}


def _with(record: TableRecord, name: str, text: str) -> TableRecord:
    """ValueError, PolicyError."""
    from paceline.access.policies.policy import Kind, Policy  # noqa: PLC0415 - see records

    Policy.parse(text, name, Kind.TABLE)
    return replace(record, policies={**record.policies, name: text})

"""Table descriptions in the form in which keys are worked with, made once for each. Pure."""

from __future__ import annotations

from node.cache.query_keys import IndexKeys, TableKeys
from node.tables.table_info import TABLES_MAX, TableInfo


class KnownKeys:
    """Makes the keys of descriptions. Equal descriptions give the same object."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[TableInfo, TableKeys]] = {}

    def of(self, info: TableInfo) -> TableKeys:
        known = self._known.get(info.name)
        if known is not None:
            if known[0] is info:
                return known[1]
            if _alike(known[0], info):
                self._known[info.name] = (info, known[1])
                return known[1]
        if len(self._known) >= TABLES_MAX:
            self._known.clear()
        keys = TableKeys(
            info.name,
            info.table_id,
            info.schema,
            [
                IndexKeys(name, index.kind == "GSI", index.schema, index.compound)
                for name, index in info.indexes.items()
            ],
        )
        self._known[info.name] = (info, keys)
        return keys


def _alike(one: TableInfo, other: TableInfo) -> bool:
    return (
        one.table_id == other.table_id
        and one.schema == other.schema
        and one.indexes == other.indexes
    )

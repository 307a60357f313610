"""What a node knows of tables and attribute lists, in the forms that the paths need."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from cluster.agent import Agent
from node.tables.schemas import Tables
from node.tables.table_info import TableInfo
from paceline.clock import now
from paceline.dax.attribute_lists import attribute_names, decode_item, encode_item
from paceline.dax.keys import decode_key
from paceline.errors import PacelineError, RequestError, Unavailable
from paceline.types import Item, KeySchema

DEFINE_TIMEOUT_S = 10.0
"""A new attribute list needs a commit in the replicated log; an election takes one to two
seconds, so this outlasts several."""

DEFINE_BEFORE_WRITE_S = 0.5
"""A write does not wait long for an attribute list: without one it is only not cached."""

SILENT_S = 1.0
"""Writes of a table that DynamoDB does not describe ask for it no more often: a refusal because of
too many questions must not lead to more of them."""
SILENT_MAX = 1000

LEARN_S = 1.0
"""How far a node's log may lag behind one that has just registered a list and told its client,
or behind the primary's stream, before the id counts as unknown: a long pause on a busy machine."""
LEARN_POLL_S = 0.01


class UnknownAttributeList(RequestError):
    """An id that this node's log does not have, or not yet."""

    def __init__(self, list_id: int) -> None:
        super().__init__(
            "ValidationException",
            f"attribute list {list_id} is not known to this cluster; "
            "create a new DAX client to have its attribute lists registered again",
        )
        self.list_id = list_id


class TableKnowledge:
    """Schemas from DynamoDB, attribute lists from the replicated log."""

    def __init__(self, tables: Tables, agent: Agent) -> None:
        self._tables = tables
        self._agent = agent
        self._silent_until: dict[str, float] = {}
        """Of tables that were not told of: when they are asked for again."""

    async def schemas(self, tables: tuple[str, ...]) -> Mapping[str, KeySchema]:
        if len(tables) == 1:
            return {tables[0]: (await self._tables.schema(tables[0])).schema}
        infos = await asyncio.gather(*(self._tables.schema(table) for table in tables))
        return {table: info.schema for table, info in zip(tables, infos, strict=True)}

    async def schemas_told(
        self, tables: tuple[str, ...], within_s: float, *, anew: bool = False
    ) -> Mapping[str, KeySchema]:
        """Those that DynamoDB tells in time; the others are left out, whatever the reason is.
        ``anew``: it must have told them just now."""
        ask = self._tables.confirmed if anew else self._tables.schema
        told: dict[str, KeySchema] = {}
        if not anew:
            known = {table: self._tables.peek(table) for table in tables}
            told = {table: info.schema for table, info in known.items() if info is not None}
        asking = {
            table: asyncio.ensure_future(ask(table))
            for table in tables
            if table not in told and now() >= self._silent_until.get(table, 0.0)
        }
        try:
            if asking:
                await asyncio.wait(asking.values(), timeout=within_s)
            for table, asked in asking.items():
                if asked.done() and _succeeded(asked):
                    told[table] = asked.result().schema
                    self._silent_until.pop(table, None)
                else:
                    self._be_silent(table)
            return told
        finally:
            for asked in asking.values():
                asked.cancel()

    def _be_silent(self, table: str) -> None:
        if len(self._silent_until) >= SILENT_MAX:
            self._silent_until.clear()
        self._silent_until[table] = now() + SILENT_S

    def names_of(self, list_id: int) -> tuple[str, ...]:
        """UnknownAttributeList for an id that is not registered: whatever the client meant by
        it, guessing would put values under wrong names."""
        names = self._agent.names_of(list_id)
        if names is None:
            raise UnknownAttributeList(list_id)
        return names

    async def learn(self, list_id: int) -> None:
        """Waits until this node's log has the list; UnknownAttributeList if it never comes."""
        until = now() + LEARN_S
        while self._agent.names_of(list_id) is None:
            if now() >= until:
                raise UnknownAttributeList(list_id)
            await asyncio.sleep(LEARN_POLL_S)

    def list_id(self, names: tuple[str, ...]) -> int:
        list_id = self._agent.id_of(names)
        if list_id is None:
            raise KeyError(names)
        return list_id

    async def define(self, names: tuple[str, ...], timeout_s: float = DEFINE_TIMEOUT_S) -> int:
        list_id = self._agent.id_of(names)
        if list_id is not None:
            return list_id
        until = now() + timeout_s
        while True:
            try:
                return await self._agent.define_attribute_list(names, until - now())
            except Unavailable:
                # It may have joined the attempt of a caller that had less time.
                if now() + LEARN_POLL_S >= until:
                    raise
            await asyncio.sleep(LEARN_POLL_S)

    async def define_lists(self, items: Iterable[tuple[Item, KeySchema]]) -> None:
        """Registers the lists of ``items`` if that takes no longer than a write may wait."""
        for names in {attribute_names(item, schema) for item, schema in items}:
            if self._agent.id_of(names) is None:
                try:
                    await self.define(names, DEFINE_BEFORE_WRITE_S)
                except PacelineError:
                    return  # the write goes on; its image is left out of the caches

    async def encode(
        self, item: Item, table: TableInfo, timeout_s: float = DEFINE_TIMEOUT_S
    ) -> bytes:
        await self.define(attribute_names(item, table.schema), timeout_s)
        return encode_item(item, table.schema, self.list_id)

    def decode(self, data: bytes) -> Item:
        return decode_item(data, self.names_of)

    def decode_key(self, table: TableInfo, key: bytes) -> Item:
        return decode_key(table.schema, key)


def _succeeded(task: asyncio.Future[TableInfo]) -> bool:
    return not task.cancelled() and task.exception() is None

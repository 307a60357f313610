"""The lists of attribute names by their ids in the replicated log, in which cached items are
encoded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgpack

from cluster.access.calling import call
from cluster.agent import Agent
from cluster.transport.large_work import INLINE_VALUES_MAX, LargeWork
from node.tables.shares import Shares
from node.tables.table_info import TableInfo
from node.values.size import holds_more, is_flat
from paceline.clock import now
from paceline.dax.attribute_lists import (
    EMPTY_LIST_ID,
    attribute_names,
    decode_item,
    encode_id,
    encode_item,
    encode_values,
)
from paceline.dax.cbor_writers import write_text
from paceline.dax.elements import elements_in
from paceline.errors import PacelineError, RequestError, Unavailable
from paceline.types import Item, KeySchema

DEFINE_TIMEOUT_S = 10.0
"""A new attribute list needs a commit in the replicated log; an election takes one to two
seconds, so this outlasts several."""

DEFINE_BEFORE_WRITE_S = 0.5
"""A write does not wait long for an attribute list: without one it is only not cached."""

LEARN_S = 1.0
"""How far a node's log may lag behind one that has just registered a list and told its client, or
behind the primary's stream, before the id counts as unknown: a long pause on a busy machine."""
LEARN_POLL_S = 0.01


SHAPES_MAX = 1024
"""Of items whose lists are at hand. Most tables have a few."""

UNCOUNTED_BYTES_MAX = 64
"""A shorter image counts as one value: to look through it takes as long as to decode it."""


class UnknownAttributeList(RequestError):
    """This node's log does not have the id, or not yet."""

    def __init__(self, list_id: int) -> None:
        super().__init__(
            "ValidationException",
            f"attribute list {list_id} is not known to this cluster; "
            "create a new DAX client to have its attribute lists registered again",
        )
        self.list_id = list_id


class AttributeLists:
    """Encodes and decodes items by the lists of attribute names in the replicated log."""

    def __init__(
        self, agent: Agent, large_work: LargeWork | None = None, shares: Shares | None = None
    ) -> None:
        self._agent = agent
        self._large_work = large_work or LargeWork()
        self._shares = Shares() if shares is None else shares
        self._defining: set[tuple[str, ...]] = set()
        self._shapes: dict[tuple[str | None, ...], tuple[tuple[str, ...], int, bytes]] = {}
        """The names of its key and of its attributes, as an item has them, to its list: names, id,
        and the id encoded."""

    def names_of(self, list_id: int) -> tuple[str, ...]:
        """Raises UnknownAttributeList for an id that is not registered: whatever the client meant
        by it, guessing would put values under wrong names."""
        names = self._agent.names_of(list_id)
        if names is None:
            raise UnknownAttributeList(list_id)
        return names

    async def learn(self, list_id: int) -> None:
        """Waits until this node's log has the list. Raises UnknownAttributeList if it never
        comes."""
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
        """Returns the id of ``names``. A list that is new is of the share of who makes the request
        under way. Unavailable; RequestError beyond that share, or at a limit of the log."""
        list_id = self._agent.id_of(names)
        if list_id is not None:
            return list_id
        by = call.get()
        if by is None or names in self._defining:
            return await self._defined(names, timeout_s)
        who, size = by.by.principal.role_arn or by.by.principal.arn, len(msgpack.packb(names))
        if not self._shares.take(who, size):
            raise RequestError(
                "LimitExceededException",
                f"{who} has had more than {self._shares.bytes_max} bytes of attribute lists "
                "registered at this node: its items have too many different sets of names",
            )
        self._defining.add(names)
        try:
            return await self._defined(names, timeout_s)
        except BaseException:
            self._shares.give_back(who, size)
            raise
        finally:
            self._defining.discard(names)

    async def _defined(self, names: tuple[str, ...], timeout_s: float) -> int:
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
        new = [one for one in items if not self._is_known(*one)]
        if not new:
            return
        for names in await self._names_in(new):
            if self._agent.id_of(names) is None:
                try:
                    await self.define(names, DEFINE_BEFORE_WRITE_S)
                except PacelineError:
                    return  # the write goes on; its image is left out of the caches

    async def _names_in(self, items: list[tuple[Item, KeySchema]]) -> set[tuple[str, ...]]:
        def names() -> set[tuple[str, ...]]:
            return {attribute_names(item, schema) for item, schema in items}

        if sum(len(item) for item, _ in items) > INLINE_VALUES_MAX:
            return await self._large_work.run(names)
        return names()

    async def encode(
        self, item: Item, table: TableInfo, timeout_s: float = DEFINE_TIMEOUT_S
    ) -> bytes:
        await self.define(attribute_names(item, table.schema), timeout_s)
        if holds_more(item, INLINE_VALUES_MAX):
            return await self._large_work.run(lambda: encode_item(item, table.schema, self.list_id))
        return encode_item(item, table.schema, self.list_id)

    def encode_known(self, item: Item, table: TableInfo) -> bytes | None:
        """As ``encode``, at once; None if that takes long, or a list that is not registered yet."""
        if not is_flat(item, INLINE_VALUES_MAX) and holds_more(item, INLINE_VALUES_MAX):
            return None
        known = self._list_of(item, table.schema)
        return None if known is None else encode_values(item, known[0], known[2])

    def encoding(self, table: TableInfo) -> Callable[[Item], bytes | None]:
        """As ``encode_known``, of one item after another in one turn of the event loop: those that
        have the same names as the one before, and text under each, are done at once."""
        schema = table.schema
        shape: tuple[str, ...] | None = None
        names: tuple[str, ...] = ()
        head = b""

        def encode(item: Item) -> bytes | None:
            nonlocal shape, names, head
            own = tuple(item)
            if own != shape:
                known = self._list_of(item, schema) if len(own) <= INLINE_VALUES_MAX else None
                if known is None:
                    return self.encode_known(item, table)
                shape, (names, _, head) = own, known
            out = bytearray(head)
            for name in names:
                value = item[name]
                text = value.get("S")
                if type(text) is not str or len(value) != 1:
                    return self.encode_known(item, table)
                write_text(out, text)
            return bytes(out)

        return encode

    def encode_now(self, item: Item, schema: KeySchema) -> bytes:
        """As ``encode``, at once, however long it takes; KeyError for a list that is not registered
        yet."""
        if len(item) > INLINE_VALUES_MAX:
            return encode_item(item, schema, self.list_id)
        known = self._list_of(item, schema)
        if known is None:
            raise KeyError(attribute_names(item, schema))
        return encode_values(item, known[0], known[2])

    def _is_known(self, item: Item, schema: KeySchema) -> bool:
        return len(item) <= INLINE_VALUES_MAX and self._list_of(item, schema) is not None

    def _list_of(self, item: Item, schema: KeySchema) -> tuple[tuple[str, ...], int, bytes] | None:
        """None: it is not registered yet."""
        shape = (schema.hash.name, schema.range.name if schema.range else None, *item)
        known = self._shapes.get(shape)
        if known is None or self._agent.names_of(known[1]) != known[0]:
            names = attribute_names(item, schema)
            list_id = self._agent.id_of(names) if names else EMPTY_LIST_ID
            if list_id is None:
                return None
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            self._shapes[shape] = known = names, list_id, encode_id(list_id)
        return known

    def decode(self, data: bytes) -> Item:
        return decode_item(data, self.names_of)

    @staticmethod
    def is_large(images: Iterable[bytes]) -> bool:
        """True if it takes long to decode them all."""
        left = INLINE_VALUES_MAX
        for image in images:
            left -= elements_in(image, left + 1) if len(image) > UNCOUNTED_BYTES_MAX else 1
            if left < 0:
                return True
        return False

    async def decode_large(self, data: bytes) -> Item:
        """As ``decode``; the others go on meanwhile."""
        return await self._large_work.run(lambda: self.decode(data))

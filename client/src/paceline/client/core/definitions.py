"""What requests and replies are written with: key schemas and attribute lists.

The cluster answers for each once; attribute lists mean the same for ever, a key schema as long as
its table is not made anew.
"""

from collections.abc import Iterable

from paceline.dax.request_types import (
    DefineAttributeList,
    DefineAttributeListId,
    DefineKeySchema,
    Request,
)
from paceline.dax.responses import read_attribute_list, read_attribute_list_id, read_key_schema
from paceline.errors import PacelineError
from paceline.types import KeySchema

LISTS_MAX = 100_000
"""Attribute lists kept. Beyond it all are forgotten: an application whose attribute names hold
data makes a new list with every item."""


class Missing(PacelineError):
    """Something has to be asked of a node first."""

    def __init__(self, request: Request) -> None:
        super().__init__(str(request))
        self.request = request


class Knowledge:
    def __init__(self) -> None:
        self.schemas: dict[str, KeySchema] = {}
        self.ids: dict[tuple[str, ...], int] = {}
        self.names: dict[int, tuple[str, ...]] = {}

    def schema_of(self, table: str) -> KeySchema:
        schema = self.schemas.get(table)
        if schema is None:
            raise Missing(DefineKeySchema(table))
        return schema

    def list_id(self, names: tuple[str, ...]) -> int:
        found = self.ids.get(names)
        if found is None:
            raise Missing(DefineAttributeListId(names))
        return found

    def names_of(self, identifier: int) -> tuple[str, ...]:
        names = self.names.get(identifier)
        if names is None:
            raise Missing(DefineAttributeList(identifier))
        return names

    def learn(self, request: Request, body: bytes) -> None:
        if len(self.ids) + len(self.names) > LISTS_MAX:
            self.ids.clear()
            self.names.clear()
        match request:
            case DefineKeySchema(table=table):
                self.schemas[table] = read_key_schema(body)
            case DefineAttributeListId(names=names):
                identifier = read_attribute_list_id(body)
                self.ids[names] = identifier
                self.names[identifier] = names
            case DefineAttributeList(id=identifier):
                names = read_attribute_list(body)
                self.names[identifier] = names
                self.ids[names] = identifier
            case _:
                raise AssertionError(f"{request} teaches nothing")

    def forget_tables(self, tables: Iterable[str]) -> None:
        """They may have been made anew with another key."""
        for table in tables:
            self.schemas.pop(table, None)

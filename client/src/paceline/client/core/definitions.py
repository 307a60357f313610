"""The definitions that requests and replies are encoded by: key schemas and attribute lists.

A client asks a node for each of them once. An attribute list never changes; a key schema is valid
until its table is re-created.
"""

from collections.abc import Iterable

from paceline.dax.client.requests import to_request
from paceline.dax.client.results import decode_result
from paceline.dax.errors import decode_reasons
from paceline.dax.request_types import (
    DefineAttributeList,
    DefineAttributeListId,
    DefineKeySchema,
    Request,
)
from paceline.dax.responses import read_attribute_list, read_attribute_list_id, read_key_schema
from paceline.errors import DynamoDBError, PacelineError
from paceline.types import KeySchema, Params, Result

LISTS_MAX = 100_000
"""How many attribute lists are kept; when there are more, all are dropped. An application whose
attribute names contain data makes a new list with every item."""


class MissingDefinition(PacelineError):
    """A node has to be asked for a definition first: ``request`` is that question."""

    def __init__(self, request: Request) -> None:
        super().__init__(str(request))
        self.request = request


class Definitions:
    """All methods but ``learn`` and ``forget_tables`` raise ``MissingDefinition``."""

    def __init__(self) -> None:
        self.schemas: dict[str, KeySchema] = {}
        self.ids: dict[tuple[str, ...], int] = {}
        self.names: dict[int, tuple[str, ...]] = {}

    def schema_of(self, table: str) -> KeySchema:
        schema = self.schemas.get(table)
        if schema is None:
            raise MissingDefinition(DefineKeySchema(table))
        return schema

    def list_id(self, names: tuple[str, ...]) -> int:
        found = self.ids.get(names)
        if found is None:
            raise MissingDefinition(DefineAttributeListId(names))
        return found

    def names_of(self, identifier: int) -> tuple[str, ...]:
        names = self.names.get(identifier)
        if names is None:
            raise MissingDefinition(DefineAttributeList(identifier))
        return names

    def encode(self, operation: str, params: Params) -> Request:
        """``RequestError`` for parameters that are wrong; DynamoDB has the words for it."""
        return to_request(operation, params, self.schema_of, self.list_id)

    def decode(self, operation: str, params: Params, body: bytes) -> Result:
        return decode_result(operation, params, body, self.schema_of, self.names_of)

    def decode_reasons(self, error: DynamoDBError, request: Request) -> None:
        """Decodes, in place, the items in the reasons of a cancelled transaction."""
        decode_reasons(error, request, self.schema_of, self.names_of)

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
        """Drops their key schemas, since they may have been re-created with another key."""
        for table in tables:
            self.schemas.pop(table, None)

"""Golden frames: requests of the official clients, and replies that those clients understood."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paceline.dax.cbor import Reader
from paceline.dax.requests import DataRequest, parse_request, read_method
from paceline.errors import DynamoDBError, RequestError
from paceline.types import KeyAttribute, KeySchema

FOLDER = Path(__file__).parents[3] / "proto" / "dax" / "vectors"


@dataclass
class Vector:
    name: str
    client: str
    request: bytes
    response: bytes
    operation: str
    params: dict[str, Any]
    upstream: dict[str, Any]
    reencodes: bool
    lists: dict[int, tuple[str, ...]]
    schemas: dict[str, KeySchema]
    result: Any = None
    error: dict[str, Any] | None = None
    unknown: list[tuple[str, ...]] = field(default_factory=list)

    def parsed(self) -> Any:
        reader = Reader(self.request)
        request = parse_request(read_method(reader), reader)
        assert reader.done()
        return request

    def schema_of(self, table: str) -> KeySchema:
        if table not in self.schemas:
            raise DynamoDBError("ResourceNotFoundException", f"no table {table}")
        return self.schemas[table]

    def names_of(self, identifier: int) -> tuple[str, ...]:
        return self.lists[identifier]

    def known_names_of(self, identifier: int) -> tuple[str, ...]:
        if identifier not in self.lists:
            raise RequestError("ValidationException", f"no list {identifier}")
        return self.lists[identifier]

    def list_id(self, names: tuple[str, ...]) -> int:
        ids = [identifier for identifier, known in self.lists.items() if known == names]
        return ids[0]


def with_bytes(value: Any) -> Any:
    """JSON has no bytes: B and BS hold hexadecimal text."""
    if isinstance(value, dict):
        return {
            k: bytes.fromhex(v)
            if k == "B" and isinstance(v, str)
            else [bytes.fromhex(e) for e in v]
            if k == "BS"
            else with_bytes(v)
            for k, v in value.items()
        }
    return [with_bytes(v) for v in value] if isinstance(value, list) else value


def load() -> list[Vector]:
    vectors = []
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text())
        schemas = {
            table: KeySchema(*(KeyAttribute(name, kind) for name, kind in attributes))
            for table, attributes in content.get("schemas", {}).items()
        }
        for entry in content.get("vectors", []):
            params = with_bytes(entry["params"])
            upstream = dict(params)
            if "upstream_projection" in entry:
                upstream["ProjectionExpression"] = entry["upstream_projection"]
            vectors.append(
                Vector(
                    entry["name"],
                    entry["client"],
                    bytes.fromhex(entry["request"]),
                    bytes.fromhex(entry["response"]),
                    entry["operation"],
                    params,
                    upstream,
                    entry["reencodes"],
                    {int(k): tuple(v) for k, v in entry["lists"].items()},
                    schemas,
                    with_bytes(entry.get("result")),
                    with_bytes(entry.get("error")),
                )
            )
    return vectors


def connection_vectors() -> Any:
    return json.loads((FOLDER / "connection.json").read_text())


VECTORS = load()
DATA_VECTORS = [v for v in VECTORS if isinstance(v.parsed(), DataRequest)]

"""Requests as official clients sent them, read by the codec; see ``tests/support/frames.py``."""

from __future__ import annotations

from typing import Any

from paceline.dax.cbor import Reader
from paceline.dax.family import Family
from paceline.dax.request_types import DataRequest
from paceline.dax.requests import parse_request, read_method
from paceline.dax.server.params import to_params
from paceline.types import KeyAttribute, KeySchema
from tests.support.frames import CALLS, HASH, RANGE, Recorded, kinds, load
from tests.support.rows import every_row

SCHEMAS = {
    HASH: KeySchema(KeyAttribute("id", "S")),
    RANGE: KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "N")),
}
RECORDED = [(kind, entry) for kind in kinds() for entry in load(kind)]
EXPRESSIONS = {
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "FilterExpression",
    "KeyConditionExpression",
    "ProjectionExpression",
    "UpdateExpression",
}
"""The wire has them parsed: what comes back means the same in other words."""
DEFAULTS: dict[str, Any] = {
    "ConsistentRead": False,
    "ReturnConsumedCapacity": "NONE",
    "ReturnItemCollectionMetrics": "NONE",
    "ReturnValues": "NONE",
    "ScanIndexForward": True,
}
"""Some clients write them all the same."""


def params_of(frame: bytes, kind: str) -> tuple[str, dict[str, Any]]:
    reader = Reader(frame)
    request = parse_request(read_method(reader), reader)
    assert reader.done()
    assert isinstance(request, DataRequest)
    client = Family.GO_V2 if kind == "go-v2" else Family.UNKNOWN
    return to_params(request, SCHEMAS.__getitem__, lambda _: ("g", "v"), client)


def plain(params: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in params.items()
        if name not in EXPRESSIONS and value != DEFAULTS.get(name)
    }


def resolved(params: dict[str, Any], name: str) -> str:
    """An expression with names and values in the places of their placeholders."""
    text = params[name]
    for placeholder, attribute in params.get("ExpressionAttributeNames", {}).items():
        text = text.replace(placeholder, attribute)
    for placeholder, value in params.get("ExpressionAttributeValues", {}).items():
        text = text.replace(placeholder, str(value))
    return "".join(text.split())


@every_row(("kind", "entry"), RECORDED)
def test_a_clients_request_means_what_its_caller_asked(kind: str, entry: Recorded) -> None:
    for frame in entry.frames:
        operation, params = params_of(frame, kind)
        assert operation == entry.operation
        asked = entry.params
        if kind == "go-v2" and "Select" not in asked:
            # It writes what nothing means, which is harmless where DynamoDB allows it.
            meant = "SPECIFIC_ATTRIBUTES" if "ProjectionExpression" in asked else "ALL_ATTRIBUTES"
            assert params.get("Select") in (None, meant)
            assert "IndexName" not in asked or "Select" not in params
            params.pop("Select", None)
        if kind == "go-v2" and asked.get("Select") == "ALL_ATTRIBUTES":
            params.setdefault("Select", "ALL_ATTRIBUTES")  # of which it writes nothing
        assert plain(params) == plain(asked)
        for name in EXPRESSIONS & {*asked} - {
            "ExpressionAttributeNames",
            "ExpressionAttributeValues",
        }:
            assert resolved(params, name) == resolved(asked, name)


def test_every_client_made_every_call() -> None:
    assert {kind for kind, _ in RECORDED} == {*kinds()}
    assert len(RECORDED) == len(CALLS) * len({*kinds()})
    assert len(RECORDED) > 0

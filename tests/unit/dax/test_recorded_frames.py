"""Requests as official clients sent them, read by the codec; see ``tests/support/frames.py``."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.dax.cbor import Reader
from paceline.dax.request_types import DataRequest
from paceline.dax.requests import parse_request, read_method
from paceline.dax.translate_requests import to_params
from paceline.types import KeyAttribute, KeySchema
from tests.support.frames import CALLS, HASH, RANGE, Recorded, kinds, load

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


def params_of(frame: bytes) -> tuple[str, dict[str, Any]]:
    reader = Reader(frame)
    request = parse_request(read_method(reader), reader)
    assert reader.done()
    assert isinstance(request, DataRequest)
    return to_params(request, SCHEMAS.__getitem__, lambda _: ("g", "v"))


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


@pytest.mark.parametrize(
    "entry", [entry for _, entry in RECORDED], ids=[f"{kind}: {e.call}" for kind, e in RECORDED]
)
def test_a_clients_request_means_what_its_caller_asked(entry: Recorded) -> None:
    for frame in entry.frames:
        operation, params = params_of(frame)
        assert operation == entry.operation
        asked = entry.params
        if entry.call == "query of all attributes":
            # What one client writes whenever nothing was asked, so it is what nothing means.
            asked = {name: value for name, value in asked.items() if name != "Select"}
            params.pop("Select", None)
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

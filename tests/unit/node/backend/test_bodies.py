"""Values out of DynamoDB's JSON: what botocore makes of them, without making them anew."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from botocore.parsers import JSONParser
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.transport.large_work import LargeWork
from node.backend import bodies
from node.backend.bodies import StrictJSONParser
from node.values import json_slices
from tests.support.examples import examples

MODEL = botocore.session.get_session().get_service_model("dynamodb")
SHAPE = MODEL.operation_model("GetItem").output_shape

SCALARS = (
    st.builds(lambda text: {"S": text}, st.text(max_size=4))
    | st.builds(lambda number: {"N": str(number)}, st.integers())
    | st.builds(lambda flag: {"BOOL": flag}, st.booleans())
    | st.just({"NULL": True})
    | st.just({"B": "AAE="})
    | st.just({"BS": ["AAE=", ""]})
    | st.just({"SS": ["a", "b"]})
    | st.just({"NS": ["1"]})
)
ODD = st.sampled_from(
    [
        {},
        {"S": None},
        {"TOMORROW": [1]},
        {"S": "a", "N": "1"},
        {"S": "a", "TOMORROW": 1},
        {"L": None},
        {"M": None},
        {"L": []},
        {"M": {}},
        None,
    ]
)
VALUES = st.recursive(
    SCALARS | ODD,
    lambda inner: (
        st.builds(lambda values: {"L": values}, st.lists(inner, max_size=4))
        | st.builds(
            lambda values: {"M": values}, st.dictionaries(st.text(max_size=3), inner, max_size=4)
        )
    ),
    max_leaves=20,
)


def parser() -> Any:
    return StrictJSONParser(large_work=LargeWork())


@settings(max_examples=examples(100))
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4))
def test_items_are_what_botocore_makes_of_them(item: Any) -> None:
    body = json.dumps({"Item": item, "Tomorrow": 1}).encode()
    expected = JSONParser()._handle_json_body(body, SHAPE)
    assert parser()._handle_json_body(body, SHAPE) == expected


def test_values_without_bytes_are_not_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    read = {"Item": {"l": {"L": [{"N": "7"}, {"M": {"b": {"B": "AAE="}, "s": {"S": "x"}}}]}}}
    monkeypatch.setattr(json_slices, "loads", lambda text: read)
    result = parser()._handle_json_body(b"{}", SHAPE)
    values, map_ = read["Item"]["l"], read["Item"]["l"]["L"][1]
    assert result["Item"]["l"] is values
    assert result["Item"]["l"]["L"][1] is map_
    assert map_ == {"M": {"b": {"B": b"\x00\x01"}, "s": {"S": "x"}}}


def test_errors_are_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled transaction tells the items that it met."""
    read: list[int] = []
    loads = json_slices.loads

    def noted(text: str) -> Any:
        read.append(len(text))
        return loads(text)

    monkeypatch.setattr(bodies.json_slices, "loads", noted)
    body = json.dumps({"__type": "x#ValidationException", "message": "m" * 100_000}).encode()
    response = {"body": body, "headers": {}, "status_code": 400}
    error = parser()._do_error_parse(response, None)
    assert error["Error"] == {"Code": "ValidationException", "Message": "m" * 100_000}
    assert read == [len(body)]
    response["body"] = b"no JSON"
    assert parser()._do_error_parse(response, None)["Error"]["Message"] == "no JSON"

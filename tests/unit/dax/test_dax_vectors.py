"""Golden frames both ways: server role on requests, client role on replies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.dax import responses
from paceline.dax.cbor import Reader
from paceline.dax.client.requests import to_request
from paceline.dax.client.results import decode_result
from paceline.dax.errors import decode_error, decode_reasons, encode_error
from paceline.dax.requests import (
    DefineAttributeList,
    DefineAttributeListId,
    DefineKeySchema,
    Endpoints,
    RawRequest,
    encode_request,
    parse_request,
    read_method,
)
from paceline.dax.server.params import to_params
from paceline.dax.server.replies import encode_result
from paceline.errors import DynamoDBError, ProtocolError, RequestError
from tests.support.examples import examples
from tests.support.rows import every_row
from tests.unit.dax.vectors import DATA_VECTORS, VECTORS, Vector

SUCCESSES = [v for v in DATA_VECTORS if v.error is None]
FAILURES = [v for v in VECTORS if v.error is not None]


def named(vectors: list[Vector]):
    return every_row("vector", vectors)


def test_every_method_has_a_vector():
    assert len(VECTORS) == 45
    assert {v.client for v in VECTORS} == {"python", "js", "go", "paceline"}
    assert len({type(v.parsed()) for v in VECTORS}) == 15


@named(DATA_VECTORS)
def test_requests_become_parameters(vector):
    operation, params = to_params(vector.parsed(), vector.schema_of, vector.names_of)
    assert operation == vector.operation
    assert params == vector.upstream


@named(DATA_VECTORS)
def test_parameters_become_requests(vector):
    request = to_request(vector.operation, vector.params, vector.schema_of, vector.list_id)
    frame = encode_request(request)
    assert (frame == vector.request) is vector.reencodes
    reader = Reader(frame)
    parsed = parse_request(read_method(reader), reader)
    assert reader.done()
    assert parsed == request
    assert to_params(parsed, vector.schema_of, vector.names_of)[1] == vector.upstream


@named(VECTORS)
def test_records_round_trip(vector):
    request = vector.parsed()
    reader = Reader(encode_request(request))
    assert parse_request(read_method(reader), reader) == request


@named(SUCCESSES)
def test_replies_become_results(vector):
    assert vector.response[:1] == b"\x80"
    result = decode_result(
        vector.operation, vector.params, vector.response[1:], vector.schema_of, vector.names_of
    )
    assert result == vector.result


@named([v for v in SUCCESSES if "[" not in v.params.get("ProjectionExpression", "")])
def test_results_become_replies(vector):
    """Not for projected lists, which have lost their indexes: see test_dax_translate."""
    result = vector.result
    reply = encode_result(
        vector.parsed(), vector.upstream, result, vector.schema_of, vector.list_id
    )
    assert reply[:1] == b"\x80"
    assert result == decode_result(
        vector.operation, vector.params, reply[1:], vector.schema_of, vector.names_of
    )


NUMBER_KEYS = [v for v in SUCCESSES if "466151c21c0010" in v.response.hex()]
"""Replies with the key ("Q", 10) as clients read it: its zero is part of it."""


@named(NUMBER_KEYS)
def test_number_keys_in_replies_are_spelled_as_amazon_spells_them(vector):
    """A decoder of ours takes every spelling, so that its understanding a reply shows nothing."""
    reply = encode_result(
        vector.parsed(), vector.upstream, vector.result, vector.schema_of, vector.list_id
    ).hex()
    for key in ("466151c21c0010", "466151c2350010", "466151c24e0010"):
        assert reply.count(key) == vector.response.hex().count(key)


def test_there_are_replies_with_number_keys():
    assert {v.operation for v in NUMBER_KEYS} == {"Query", "BatchGetItem"}


@named(FAILURES)
def test_errors(vector):
    reader = Reader(vector.response)
    error = decode_error(reader)
    assert reader.done()
    assert isinstance(error, DynamoDBError)
    decode_reasons(error, vector.parsed(), vector.schema_of, vector.names_of)
    wanted = vector.error
    assert (error.name, error.message, error.status) == (
        wanted["name"],
        wanted["message"],
        wanted["status"],
    )
    assert error.request_id == wanted["request_id"]
    assert error.reasons == wanted.get("reasons")
    encoded = encode_error(
        error, request=vector.parsed(), schema_of=vector.schema_of, list_id=vector.list_id
    )
    assert encoded == vector.response


def test_auxiliary_replies():
    checked = 0
    for vector in VECTORS:
        body = vector.response[1:]
        match vector.parsed():
            case Endpoints():
                [wanted] = vector.result
                endpoints = responses.read_endpoints(body)
                address = bytes.fromhex(wanted["address"])
                fields = {**wanted, "role": responses.Role.LEADER, "address": address}
                assert endpoints == [responses.Endpoint(**fields)]
                assert responses.endpoints_reply(endpoints) == vector.response
            case DefineKeySchema() if vector.error is None:
                schema = responses.read_key_schema(body)
                assert schema.names == tuple(name for name, _ in vector.result)
                assert responses.key_schema_reply(schema) == vector.response
            case DefineAttributeListId():
                assert responses.read_attribute_list_id(body) == vector.result
                assert responses.attribute_list_id_reply(vector.result) == vector.response
            case DefineAttributeList():
                names = responses.read_attribute_list(body)
                assert names == tuple(vector.result)
                assert responses.attribute_list_reply(names) == vector.response
            case RawRequest(target=target, body=sent):
                assert {"target": target, "body": sent.hex()} == vector.params
                answer = responses.read_raw_reply(body)
                json = bytes.fromhex(vector.result["body"])
                assert answer == responses.RawReply(**{**vector.result, "body": json})
                assert responses.raw_reply(answer) == vector.response
            case _:
                continue
        checked += 1
    assert checked == 7


@st.composite
def damaged(draw, frames):
    """A vector with its frame cut short or with a few bytes changed."""
    index = draw(st.integers(0, len(frames) - 1))
    data = bytearray(frames[index][1])
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return frames[index][0], bytes(data[: draw(st.integers(0, len(data)))])


DAMAGED_REQUESTS = damaged([(v, v.request) for v in DATA_VECTORS])
DAMAGED_REPLIES = damaged([(v, v.response[1:]) for v in SUCCESSES])
DAMAGED_ERRORS = damaged([(v, v.response) for v in FAILURES])
SOME = settings(max_examples=examples(300), deadline=None)
MANY = settings(max_examples=10_000, deadline=None)


def check_damaged_request(case):
    vector, data = case
    reader = Reader(data)
    try:
        request = parse_request(read_method(reader), reader)
    except ProtocolError:
        return
    if not hasattr(request, "options"):
        return
    try:
        to_params(request, vector.schema_of, vector.names_of)
    except (RequestError, DynamoDBError):
        return


def check_damaged_reply(case):
    vector, body = case
    try:
        decode_result(
            vector.operation, vector.params, body, vector.schema_of, vector.known_names_of
        )
    except (ProtocolError, RequestError, DynamoDBError):
        return


def check_damaged_error(case):
    vector, data = case
    try:
        error = decode_error(Reader(data))
        if isinstance(error, DynamoDBError):
            decode_reasons(error, vector.parsed(), vector.schema_of, vector.known_names_of)
    except (ProtocolError, RequestError):
        return


@SOME
@given(DAMAGED_REQUESTS)
def test_damaged_requests(case):
    check_damaged_request(case)


@SOME
@given(DAMAGED_REPLIES)
def test_damaged_replies(case):
    check_damaged_reply(case)


@SOME
@given(DAMAGED_ERRORS)
def test_damaged_errors(case):
    check_damaged_error(case)


@pytest.mark.full(minutes=1)
@MANY
@given(DAMAGED_REQUESTS)
def test_many_damaged_requests(case):
    check_damaged_request(case)


@pytest.mark.full(minutes=1)
@MANY
@given(DAMAGED_REPLIES | DAMAGED_ERRORS)
def test_many_damaged_replies(case):
    (check_damaged_reply if case[0].error is None else check_damaged_error)(case)

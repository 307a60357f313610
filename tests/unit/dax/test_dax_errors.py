import pytest
from amazondax.DaxError import DaxServiceError, is_retryable

from paceline.dax.cbor import Reader
from paceline.dax.errors import (
    AUTHENTICATION,
    CODES,
    OTHER,
    OUTCOME_UNKNOWN,
    OUTCOME_UNKNOWN_JAVA,
    READ_FAILED,
    AuthenticationError,
    decode_error,
    encode_error,
)
from paceline.dax.family import Family
from paceline.dax.requests import TransactWrite, TransactWriteItems
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    ProtocolError,
    RequestError,
    Unavailable,
)
from paceline.types import KeyAttribute, KeySchema

THROTTLED = CODES["ThrottlingException"]


def parts(reply: bytes):
    """(codes, message, name, status) as they stand on the wire."""
    reader = Reader(reply)
    codes = tuple(reader.read_int() for _ in range(reader.read_array()))
    message = reader.read_text()
    assert reader.read_array() in (3, 4)
    reader.skip()
    name = reader.read_text()
    status = None if reader.is_null() else reader.read_int()
    return codes, message, name, status


def as_python_sees(reply: bytes) -> DaxServiceError:
    codes, message, name, status = parts(reply)
    return DaxServiceError("op", message, list(codes), "id", name, status)


@pytest.mark.parametrize("name", [*CODES, "ReplicatedWriteConflictException", "Other"])
def test_errors_of_dynamodb_keep_name_message_and_status(name):
    reply = encode_error(DynamoDBError(name, "why", 400, request_id="R"))
    assert parts(reply) == (CODES.get(name, OTHER), "why", name, 400)
    error = decode_error(Reader(reply))
    assert isinstance(error, DynamoDBError)
    assert (error.name, error.message, error.status, error.request_id) == (name, "why", 400, "R")


@pytest.mark.parametrize("name", [*CODES, "Other"])
def test_the_official_client_names_them_as_dynamodb_does(name):
    seen = as_python_sees(encode_error(DynamoDBError(name, "why")))
    if name == "RequestLimitExceeded":
        name = "RequestLimitExceededException"  # its own name for it
    assert seen.response["Error"] == {"Code": name, "Message": "why"}


def test_an_unknown_outcome_is_repeated_by_nobody():
    for exc in (
        OutcomeUnknown("perhaps"),
        DynamoDBError("InternalServerError", "perhaps", 500),
        DynamoDBError("ServiceUnavailable", "perhaps", 503),
    ):
        reply = encode_error(exc)
        codes, message, _, status = parts(reply)
        assert (codes, message, status) == (OUTCOME_UNKNOWN, "perhaps", None)
        assert not is_retryable(as_python_sees(reply))
        assert isinstance(decode_error(Reader(reply)), OutcomeUnknown)
    assert parts(encode_error(OutcomeUnknown("perhaps")))[2] == "InternalServerError"


def test_an_unknown_outcome_has_a_form_of_its_own_for_java():
    """That client repeats writes after what the others take, and cannot read a status of null."""
    for exc in (OutcomeUnknown("perhaps"), DynamoDBError("InternalServerError", "perhaps", 503)):
        reply = encode_error(exc, client=Family.JAVA)
        assert parts(reply) == (OUTCOME_UNKNOWN_JAVA, "perhaps", "InternalServerError", 0)
        assert isinstance(decode_error(Reader(reply)), OutcomeUnknown)


def test_a_write_that_was_not_sent_may_be_repeated():
    for exc in (NotSent("no primary"), Unavailable("full")):
        for read in (False, True):
            reply = encode_error(exc, read=read)
            assert parts(reply) == (THROTTLED, str(exc), "ThrottlingException", 400)
            assert is_retryable(as_python_sees(reply))


def test_failed_reads_may_be_repeated():
    exc = DynamoDBError("InternalServerError", "oops", 500)
    reply = encode_error(exc, read=True)
    assert parts(reply) == (READ_FAILED, "oops", "InternalServerError", 500)
    seen = as_python_sees(reply)
    assert is_retryable(seen)
    assert seen.response["Error"]["Code"] == "InternalServerError"


def test_bugs_do_not_tell_their_text():
    exc = KeyError("secret")
    assert parts(encode_error(exc)) == (
        OUTCOME_UNKNOWN,
        "Internal server error",
        "InternalServerError",
        None,
    )
    assert parts(encode_error(exc, read=True)) == (
        READ_FAILED,
        "Internal server error",
        "InternalServerError",
        500,
    )


def test_other_errors_of_ours():
    assert parts(encode_error(RequestError("ValidationException", "bad"))) == (
        CODES["ValidationException"],
        "bad",
        "ValidationException",
        400,
    )
    assert parts(encode_error(ProtocolError("garbled")))[2] == "ValidationException"
    codes, _, name, status = parts(encode_error(AuthenticationError("wrong signature")))
    assert (codes, name, status) == (AUTHENTICATION, "UnrecognizedClientException", 400)
    assert as_python_sees(encode_error(AuthenticationError("x"))).auth_error


def test_a_message_is_never_null():
    assert parts(encode_error(DynamoDBError("ValidationException", "")))[1] == ""


SCHEMA = KeySchema(KeyAttribute("pk", "S"))
CANCELED = DynamoDBError(
    "TransactionCanceledException",
    "Transaction cancelled",
    reasons=[
        {"Code": "None"},
        {
            "Code": "ConditionalCheckFailed",
            "Message": "The conditional request failed",
            "Item": {"pk": {"S": "b"}, "v": {"N": "1"}},
        },
    ],
)
REQUEST = TransactWriteItems((TransactWrite(7, "t", b"a"), TransactWrite(7, "t", b"b")))


def test_cancellation_reasons():
    reply = encode_error(CANCELED, request=REQUEST, schema_of=lambda _: SCHEMA, list_id=lambda _: 5)
    error = decode_error(Reader(reply))
    assert isinstance(error, DynamoDBError)
    assert error.reasons == [
        {"Code": "None"},
        {
            "Code": "ConditionalCheckFailed",
            "Message": "The conditional request failed",
            "Item": b"\x05\x01",
        },
    ]


def test_cancellation_reasons_without_what_items_need():
    error = decode_error(Reader(encode_error(CANCELED)))
    assert isinstance(error, DynamoDBError)
    assert [reason["Code"] for reason in error.reasons or ()] == ["None", "ConditionalCheckFailed"]
    assert "Item" not in (error.reasons or [{}])[1]


@pytest.mark.parametrize("codes", ["84011825182618 35", "84011825182618 37"])
def test_other_ambiguous_codes(codes):
    data = bytes.fromhex(codes.replace(" ", "")) + b"\x61x\xf6"
    assert isinstance(decode_error(Reader(data)), OutcomeUnknown)


def test_an_error_without_details_is_named_by_its_codes():
    error = decode_error(Reader(bytes.fromhex("83041718186178f6")))
    assert isinstance(error, DynamoDBError)
    assert (error.name, error.status) == ("ResourceNotFoundException", None)

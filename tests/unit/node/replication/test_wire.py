"""Replication messages and forwarded errors survive the wire unchanged."""

from __future__ import annotations

from contextlib import suppress

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.messages import (
    Ack,
    Begin,
    Fence,
    Flush,
    Image,
    LeaseHandBack,
    LeaseReply,
    LeaseRequest,
    Outcome,
    Position,
    PrimaryMessage,
    Settle,
    Subscribe,
    Welcome,
)
from cluster.coherence.takeover_report import TakeoverReport
from node.replication import packing, wire
from paceline.dynamodb_operations import WRITES
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    ProtocolError,
    RequestError,
    Unavailable,
)
from paceline.v1 import replication_pb2 as pb
from tests.support.examples import examples

numbers = st.integers(0, 2**53)
positions = st.builds(Position, numbers, numbers)
names = st.text(st.characters(codec="utf-8"), max_size=20)
keys = st.lists(st.tuples(names, st.binary(max_size=20)), max_size=4).map(tuple)
images = st.lists(st.none() | st.builds(Image, st.none() | st.binary(max_size=30)), max_size=4).map(
    tuple
)
parts = st.none() | st.binary(max_size=20)
touches = st.lists(st.builds(IndexTouch, names, parts, parts), max_size=4).map(tuple)
effects = st.lists(
    st.none() | st.builds(Effect, st.integers(0, 2**32 - 1), st.none() | touches), max_size=4
).map(tuple)
fences = st.builds(Fence, positions, keys, effects)
primary_messages = st.one_of(
    fences,
    st.builds(Begin, positions, st.none() | positions, st.booleans()),
    st.builds(Settle, positions, positions, st.sampled_from(Outcome), images),
    st.builds(Flush, positions, st.none() | names),
    st.builds(
        Welcome,
        positions,
        st.booleans(),
        st.lists(fences, max_size=3).map(tuple),
        keys,
        st.booleans(),
    ),
    st.builds(LeaseReply, numbers, positions, st.floats(0, 100)),
)
packed = fences | st.builds(Settle, positions, positions, st.sampled_from(Outcome), images)
replica_messages = st.one_of(
    st.builds(Ack, positions),
    st.builds(LeaseRequest, numbers),
    st.just(LeaseHandBack()),
    st.builds(Subscribe, names, names, numbers, st.none() | positions),
)


@given(primary_messages)
def test_primary_messages(message: object) -> None:
    data = wire.primary_message(message).SerializeToString()  # type: ignore[arg-type]
    assert wire.primary_message_back(pb.PrimaryMessage.FromString(data)) == message


@given(st.lists(packed, max_size=20))
def test_fences_and_settles_are_packed_once_for_many_frames(messages: list[Fence | Settle]) -> None:
    pieces = [packing.packed(message) for message in messages]
    assert None not in pieces
    found = packing.unpacked(packing.joined([piece for piece in pieces if piece is not None]))
    assert found == messages
    assert list(map(type, found)) == list(map(type, messages))


@given(primary_messages)
def test_nothing_else_is_packed(message: PrimaryMessage) -> None:
    assert (packing.packed(message) is None) == (not isinstance(message, Fence | Settle))


def test_a_frame_may_have_more_packed_messages_than_a_byte_can_count() -> None:
    fence = Fence(Position(1, 1), (("t", b"k"),))
    piece = packing.packed(fence)
    assert piece is not None
    assert packing.unpacked(packing.joined([piece] * 300)) == [fence] * 300


@given(st.binary(max_size=40))
def test_what_is_not_packed_so_ends_the_link(data: bytes) -> None:
    with suppress(ProtocolError):
        assert isinstance(packing.unpacked(data), list)


@pytest.mark.parametrize(
    "value",
    [[[2, 1, 1]], [[0, 1]], [[1, 1, 2, 1, 1, 4, []]], [[]], 7, [7], [[0, 1, 1, [], [[7]]]]],
)
def test_a_packed_message_of_another_form_ends_the_link(value: object) -> None:
    with pytest.raises(ProtocolError):
        packing.unpacked(msgpack.packb(value))


@given(replica_messages)
def test_replica_messages(message: object) -> None:
    data = wire.replica_message(message).SerializeToString()  # type: ignore[arg-type]
    assert wire.replica_message_back(pb.ReplicaMessage.FromString(data)) == message


log_messages = st.one_of(
    fences,
    st.builds(Begin, positions, st.none() | positions, st.booleans()),
    st.builds(Flush, positions, st.none() | names),
)
reports = st.builds(
    TakeoverReport,
    st.none() | positions,
    st.none() | st.lists(log_messages, max_size=3).map(tuple),
    st.lists(fences, max_size=2).map(tuple),
    keys,
    st.booleans(),
)


@settings(max_examples=examples(30))
@given(reports)
def test_takeover_reports(report: TakeoverReport) -> None:
    data = wire.takeover_report(report).SerializeToString()
    assert wire.takeover_report_back(pb.RecallReply.FromString(data)) == report


@pytest.mark.parametrize("position", [None, Position(0, 0), Position(3, 7)])
def test_what_is_asked_of_a_member_for_a_takeover(position: Position | None) -> None:
    data = wire.recall_request(4, position).SerializeToString()
    assert wire.recall_request_back(pb.RecallRequest.FromString(data)) == (4, position)


@pytest.mark.parametrize(
    "message",
    [Welcome(Position(1, 0), False, (), (), False), LeaseReply(1, Position(1, 0), 1.0)],
)
def test_what_is_addressed_to_one_replica_is_not_among_what_was_missed(
    message: Welcome | LeaseReply,
) -> None:
    reply = pb.RecallReply(has_tail=True, tail=[wire.primary_message(message)])
    with pytest.raises(ProtocolError, match=type(message).__name__):
        wire.takeover_report_back(reply)


def test_an_empty_message_ends_the_link() -> None:
    with pytest.raises(ProtocolError):
        wire.primary_message_back(pb.PrimaryMessage())
    with pytest.raises(ProtocolError):
        wire.replica_message_back(pb.ReplicaMessage())
    with pytest.raises(ProtocolError):
        wire.primary_message_back(pb.PrimaryMessage(settle=pb.Settle()))


@pytest.mark.parametrize(
    "error",
    [
        RequestError("ValidationException", "no", 400),
        DynamoDBError(
            "TransactionCanceledException",
            "cancelled",
            400,
            request_id="r",
            reasons=[{"Code": "None"}, {"Code": "X", "Item": {"b": {"B": b"\x00\xff"}}}],
            item={"id": {"S": "a"}},
        ),
        DynamoDBError("InternalServerError", "", None),
        NotSent("not sent"),
        OutcomeUnknown("who knows"),
        Unavailable("later"),
    ],
)
def test_errors_arrive_as_what_they_are(error: PacelineError) -> None:
    data = wire.forward_error(error).SerializeToString()
    back = wire.forward_error_back(pb.ForwardError.FromString(data))
    assert type(back) is type(error)
    assert vars(back) == vars(error)
    assert str(back) == str(error)


def test_an_error_of_a_kind_of_its_own_arrives_as_the_nearest_known_one() -> None:
    class Refused(NotSent): ...

    back = wire.forward_error_back(wire.forward_error(Refused("not now")))
    assert type(back) is NotSent
    assert str(back) == "not now"


def test_an_error_of_no_known_kind_is_an_unknown_outcome() -> None:
    class Odd(PacelineError): ...

    back = wire.forward_error_back(wire.forward_error(Odd("what happened")))
    assert isinstance(back, OutcomeUnknown)
    assert str(back) == "what happened"
    assert isinstance(wire.forward_error_back(pb.ForwardError(kind="Future")), OutcomeUnknown)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_parameters_survive(value: object) -> None:
    assert wire.unpack(wire.pack(value)) == value


def test_a_write_in_somebodys_name_is_one_to_no_older_release() -> None:
    by = wire.By("ann", "PLAK0000000000000001")
    request = wire.forward_request("PutItem", b"p", by)
    assert request.operation not in WRITES
    back = pb.ForwardRequest.FromString(request.SerializeToString())
    assert wire.forward_request_back(back) == ("PutItem", by)
    assert wire.forward_request_back(wire.forward_request("PutItem", b"p", None)) == (
        "PutItem",
        None,
    )


@pytest.mark.parametrize(
    "request_",
    [
        pb.ForwardRequest(operation="caller/PutItem"),
        pb.ForwardRequest(operation="PutItem", caller=pb.Caller(principal="ann")),
    ],
)
def test_a_write_that_does_not_say_in_whose_name_it_is_is_not_sent(
    request_: pb.ForwardRequest,
) -> None:
    with pytest.raises(NotSent, match="in whose name"):
        wire.forward_request_back(request_)

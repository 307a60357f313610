"""Messages read in slices are what the library reads, and no call reads much."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from cluster.transport import protobuf_slices
from paceline.v1 import data_pb2 as pb

DIFFERENT = (
    "a field of a kind that has no length",
    "an entry of a map has fields that are not known",
)
"""Refused here and read by the library: groups, and entries that it leaves out of the map."""


def random_value(rng: random.Random, depth: int = 0) -> pb.AttributeValue:
    value = pb.AttributeValue()
    match rng.randrange(7 if depth < 5 else 4):
        case 0:
            value.s = "é" * rng.choice((0, 1, 30, 300))
        case 1:
            value.n = str(rng.randrange(10**9))
        case 2:
            value.null = True
        case 3:
            value.ss.values.extend("abc"[: rng.randrange(4)] for _ in range(rng.randrange(30)))
        case 4 | 5:
            value.l.SetInParent()
            for _ in range(rng.choice((0, 1, 20))):
                value.l.values.append(random_value(rng, depth + 1))
        case _:
            value.m.SetInParent()
            for n in range(rng.choice((0, 1, 10))):
                value.m.attributes[f"a{n}"].CopyFrom(random_value(rng, depth + 1))
    return value


def random_batch(rng: random.Random) -> pb.BatchWriteItemRequest:
    request = pb.BatchWriteItemRequest()
    for table in "ab":
        for _ in range(rng.randrange(4)):
            put = request.request_items[table].requests.add().put_item
            for name in "xyz":
                put.attributes[name].CopyFrom(random_value(rng))
    return request


@pytest.mark.parametrize("seed", range(30))
def test_random_messages(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(protobuf_slices, "PIECE_BYTES", rng.choice((1, 10, 100, 1000)))
    message = random_batch(rng)
    data = message.SerializeToString(deterministic=True)
    kind = pb.BatchWriteItemRequest
    assert protobuf_slices.parse(kind, data) == message
    # Twice the same: entries of maps are replaced, whatever they were.
    assert protobuf_slices.parse(kind, data + data) == kind.FromString(data + data)


@pytest.mark.parametrize("seed", range(30))
def test_what_the_library_refuses_is_refused(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(protobuf_slices, "PIECE_BYTES", 10)
    # The order of a map's entries is the process's own, if not asked for: a seed would say nothing.
    data = bytearray(random_batch(rng).SerializeToString(deterministic=True) or b"\x0a\x00")
    for _ in range(20):
        wrong = bytearray(data)
        wrong[rng.randrange(len(wrong))] = rng.randrange(256)
        cut = bytes(wrong[: rng.randrange(len(wrong) + 1)])
        try:
            wanted: Any = pb.BatchWriteItemRequest.FromString(cut)
        except DecodeError:
            with pytest.raises((ValueError, DecodeError)):
                protobuf_slices.parse(pb.BatchWriteItemRequest, cut)
        else:
            try:
                found = protobuf_slices.parse(pb.BatchWriteItemRequest, cut)
            except ValueError as error:
                assert str(error) in DIFFERENT  # noqa: PT017 - which of two ways is right
            else:
                assert found == wanted


@pytest.mark.parametrize(
    "entry",
    [
        b"\x0a\x01a\x12\x00\x1a\x00",  # a third field
        b"\x0a\x01a\x10\x05",  # a value that is a number
        b"\x50\x01\x12\x06\x0a\x04\x0a\x02\x0a\x00",  # a key that is another field
        b"\x08\x01\x12\x06\x0a\x04\x0a\x02\x0a\x00",  # a key that is a number
    ],
)
def test_no_entry_of_a_map_is_left_out(entry: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf_slices, "PIECE_BYTES", 4)
    data = bytes((0x0A, len(entry))) + entry
    assert not pb.BatchWriteItemRequest.FromString(data).request_items
    with pytest.raises(ValueError, match="an entry of a map has fields that are not known"):
        protobuf_slices.parse(pb.BatchWriteItemRequest, data)


def test_values_of_a_choice_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf_slices, "PIECE_BYTES", 4)
    data = b"".join(
        value.SerializeToString()
        for value in (
            pb.AttributeValue(l=pb.ListValue(values=[pb.AttributeValue(s="gone")])),
            pb.AttributeValue(s="gone, too"),
            pb.AttributeValue(m=pb.Attributes(attributes={"a": pb.AttributeValue(s="first")})),
            pb.AttributeValue(m=pb.Attributes(attributes={"b": pb.AttributeValue(s="second")})),
        )
    )
    found = protobuf_slices.parse(pb.AttributeValue, data)
    assert found == pb.AttributeValue.FromString(data)
    assert set(found.m.attributes) == {"a", "b"}


def test_messages_nested_too_deeply_are_refused() -> None:
    fields = [pb.AttributeValue.DESCRIPTOR.fields_by_name["l"].number]
    fields.append(pb.ListValue.DESCRIPTOR.fields_by_name["values"].number)
    data = pb.AttributeValue(s="x" * 2 * protobuf_slices.PIECE_BYTES).SerializeToString()
    for level in range(200):
        size = len(data) & 0x7F | 0x80, len(data) >> 7 & 0x7F | 0x80, len(data) >> 14
        data = bytes((fields[1 - level % 2] << 3 | 2, *size)) + data
    with pytest.raises(ValueError, match="within each other"):
        protobuf_slices.parse(pb.AttributeValue, data)


def test_no_call_reads_more_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Counting(bytes):
        def __new__(cls, data: Any) -> Any:
            sizes.append(len(data))
            return bytes(data)

    monkeypatch.setattr(protobuf_slices, "bytes", Counting, raising=False)
    request = pb.BatchWriteItemRequest()
    put = request.request_items["t"].requests.add().put_item
    put.attributes["l"].l.values.extend([pb.AttributeValue(s="")] * 200_000)
    data = request.SerializeToString()
    assert len(data) > 10 * protobuf_slices.PIECE_BYTES
    assert protobuf_slices.parse(pb.BatchWriteItemRequest, data) == request
    assert max(sizes) < 2 * protobuf_slices.PIECE_BYTES

"""Letters as bytes: what is written is read, and nothing else is."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.consensus.core.configuration import AddLearner, Configuration, Promote, Remove
from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Entry,
    Kind,
    Message,
    SnapshotPiece,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from cluster.consensus.forwarding import Forward, Forwarded, Letter
from cluster.consensus.wire import decode, encode
from paceline.errors import ProtocolError
from paceline.v1 import consensus_pb2 as pb

NUMBERS = st.integers(0, 2**64 - 1)
FLAGS = st.booleans()
NAMES = st.text(max_size=20)
DATA = st.binary(max_size=50)


@st.composite
def append_requests(draw: st.DrawFn) -> AppendRequest:
    before = draw(st.integers(0, 2**63))
    contents = draw(st.lists(st.tuples(NUMBERS, st.sampled_from(Kind), DATA), max_size=5))
    entries = tuple(Entry(before + n, *content) for n, content in enumerate(contents, 1))
    return AppendRequest(
        before, draw(NUMBERS), entries, draw(NUMBERS), draw(NUMBERS), draw(st.booleans())
    )


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    some = draw(st.integers(0, len(names)))
    return Configuration(tuple(sorted(names[:some])), tuple(sorted(names[some:])))


BODIES = st.one_of(
    st.builds(VoteRequest, NUMBERS, FLAGS, NUMBERS, NUMBERS, FLAGS),
    st.builds(VoteReply, NUMBERS, FLAGS, FLAGS),
    append_requests(),
    st.builds(AppendReply, FLAGS, NUMBERS, NUMBERS, FLAGS),
    st.builds(SnapshotPiece, NUMBERS, NUMBERS, configurations(), NUMBERS, NUMBERS, DATA),
    st.builds(SnapshotReply, NUMBERS, NUMBERS),
    st.just(TimeoutNow()),
)
CHANGES = st.one_of(*(st.builds(kind, NAMES) for kind in (AddLearner, Promote, Remove)))
LETTERS: st.SearchStrategy[Letter] = st.one_of(
    st.builds(Message, NAMES, NAMES, NUMBERS, NUMBERS, BODIES),
    st.builds(Forward, NAMES, NAMES, NUMBERS, st.one_of(DATA, CHANGES)),
    st.builds(Forwarded, NAMES, NAMES, NUMBERS, NUMBERS, NUMBERS, NAMES),
)


@given(st.lists(LETTERS, max_size=4))
def test_what_is_written_is_read(letters: list[Letter]) -> None:
    assert decode(encode(letters)) == letters


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_or_read_as_letters(data: bytes) -> None:
    try:
        found = decode(data)
    except ProtocolError:
        return
    assert decode(encode(found)) == found


def test_damaged_letters_are_refused_or_read_as_letters() -> None:
    rng = random.Random(7)
    entries = tuple(Entry(5 + n, 3, Kind.COMMAND, b"x" * n) for n in range(4))
    good = encode([Message("a", "b", 1, 3, AppendRequest(4, 3, entries, 4))])
    for _ in range(500):
        wrong = bytearray(good)
        wrong[rng.randrange(len(wrong))] = rng.randrange(256)
        try:
            decode(bytes(wrong[: rng.randrange(len(wrong) + 1)]))
        except ProtocolError:
            continue


@pytest.mark.parametrize(
    "letter",
    [
        pb.Letter(source="a", target="b"),
        pb.Letter(source="a", raft=pb.RaftMessage(boot=1, term=1)),
        pb.Letter(source="a", forward=pb.ForwardedProposal(request=1)),
        pb.Letter(
            raft=pb.RaftMessage(
                append_request=pb.AppendRequest(entries=[pb.LogEntry(term=1, kind=9)])
            )
        ),
        pb.Letter(
            raft=pb.RaftMessage(
                snapshot_piece=pb.SnapshotPiece(configuration=pb.Voters(voters=["b", "a"]))
            )
        ),
    ],
)
def test_what_is_not_complete_or_not_known_is_refused(letter: pb.Letter) -> None:
    with pytest.raises(ProtocolError, match="not what participants of a log say"):
        decode(pb.Letters(letters=[letter]).SerializeToString())

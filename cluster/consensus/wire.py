"""Encodes and decodes the messages between participants. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError

from cluster.consensus.core.configuration import (
    AddLearner,
    Change,
    Configuration,
    Promote,
    Remove,
)
from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Body,
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
from paceline.errors import ProtocolError
from paceline.v1 import consensus_pb2 as pb


def encode(letters: Iterable[Letter]) -> bytes:
    data: bytes = pb.Letters(letters=[_letter(letter) for letter in letters]).SerializeToString()
    return data


def decode(data: bytes) -> list[Letter]:
    """Returns the messages in their order. Raises ProtocolError for anything that is not complete
    and known: nodes of one cluster run versions that know each other's messages."""
    try:
        letters = pb.Letters.FromString(data).letters
        return [_letter_back(letter) for letter in letters]
    except (DecodeError, ValueError) as error:
        raise ProtocolError(f"not what participants of a log say: {error}") from error


def _letter(letter: Letter) -> pb.Letter:
    found = pb.Letter(source=letter.source, target=letter.target)
    match letter:
        case Message():
            found.raft.CopyFrom(_message(letter))
        case Forward():
            found.forward.CopyFrom(_forward(letter))
        case Forwarded():
            place = pb.ProposalPlace(
                request=letter.request, index=letter.index, term=letter.term, reason=letter.reason
            )
            found.place.CopyFrom(place)
    return found


def _letter_back(letter: pb.Letter) -> Letter:
    source, target = letter.source, letter.target
    match letter.WhichOneof("content"):
        case "raft":
            raft = letter.raft
            return Message(source, target, raft.boot, raft.term, _body_back(raft))
        case "forward":
            forward = letter.forward
            return Forward(source, target, forward.request, _what_back(forward))
        case "place":
            place = letter.place
            return Forwarded(source, target, place.request, place.index, place.term, place.reason)
    raise ValueError("a letter without content")


def _forward(letter: Forward) -> pb.ForwardedProposal:
    what = letter.what
    match what:
        case bytes():
            return pb.ForwardedProposal(request=letter.request, command=what)
        case AddLearner():
            return pb.ForwardedProposal(request=letter.request, add_learner=what.name)
        case Promote():
            return pb.ForwardedProposal(request=letter.request, promote=what.name)
        case Remove():
            return pb.ForwardedProposal(request=letter.request, remove=what.name)


def _what_back(forward: pb.ForwardedProposal) -> bytes | Change:
    match forward.WhichOneof("what"):
        case "command":
            return forward.command
        case "add_learner":
            return AddLearner(forward.add_learner)
        case "promote":
            return Promote(forward.promote)
        case "remove":
            return Remove(forward.remove)
    raise ValueError("a proposal of nothing")


def _message(message: Message) -> pb.RaftMessage:
    raft = pb.RaftMessage(boot=message.boot, term=message.term)
    match message.body:
        case VoteRequest(election, pre, index, term, forced):
            request = pb.VoteRequest(
                election=election, pre=pre, last_index=index, last_term=term, forced=forced
            )
            raft.vote_request.CopyFrom(request)
        case VoteReply(election, pre, granted):
            vote = pb.VoteReply(election=election, pre=pre, granted=granted)
            raft.vote_reply.CopyFrom(vote)
        case AppendRequest(index, term, entries, commit, mend_to, news):
            append = pb.AppendRequest(
                before_index=index,
                before_term=term,
                entries=[pb.LogEntry(term=e.term, kind=e.kind, data=e.data) for e in entries],
                commit=commit,
                mend_to=mend_to,
                news=news,
            )
            raft.append_request.CopyFrom(append)
        case AppendReply(accepted, index, before, mending):
            reply = pb.AppendReply(
                accepted=accepted, index=index, before_index=before, mending=mending
            )
            raft.append_reply.CopyFrom(reply)
        case SnapshotPiece(index, term, configuration, size, offset, data):
            voters = pb.Voters(voters=configuration.voters, learners=configuration.learners)
            piece = pb.SnapshotPiece(
                index=index, term=term, configuration=voters, size=size, offset=offset, data=data
            )
            raft.snapshot_piece.CopyFrom(piece)
        case SnapshotReply(index, offset):
            received = pb.SnapshotReply(index=index, offset=offset)
            raft.snapshot_reply.CopyFrom(received)
        case TimeoutNow():
            raft.timeout_now.SetInParent()
    return raft


def _body_back(raft: pb.RaftMessage) -> Body:
    name = raft.WhichOneof("body")
    found: Any = getattr(raft, name) if name is not None else None
    match name:
        case "vote_request":
            return VoteRequest(
                found.election, found.pre, found.last_index, found.last_term, found.forced
            )
        case "vote_reply":
            return VoteReply(found.election, found.pre, found.granted)
        case "append_request":
            first = found.before_index + 1
            entries = tuple(
                Entry(first + n, entry.term, Kind(entry.kind), entry.data)
                for n, entry in enumerate(found.entries)
            )
            return AppendRequest(
                found.before_index,
                found.before_term,
                entries,
                found.commit,
                found.mend_to,
                found.news,
            )
        case "append_reply":
            return AppendReply(found.accepted, found.index, found.before_index, found.mending)
        case "snapshot_piece":
            members = found.configuration
            configuration = Configuration(tuple(members.voters), tuple(members.learners))
            return SnapshotPiece(
                found.index, found.term, configuration, found.size, found.offset, found.data
            )
        case "snapshot_reply":
            return SnapshotReply(found.index, found.offset)
        case "timeout_now":
            return TimeoutNow()
    raise ValueError("a message without a body")

"""Introductions over gRPC: how nodes tell each other of disks that are in no log yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from cluster.consensus.founding import Answer, Disks, Introduction, Welcome
from cluster.transport.member_certificates import peer_name
from paceline.v1 import consensus_pb2 as pb

METHOD = "/paceline.v1.Consensus/Introduce"

ASK_S = 1.0

FOUNDERS_MAX = 64

OpenChannel = Callable[[str, str], grpc.aio.Channel]
"""Opens a channel to the node of an id, at an address."""

Introduced = Callable[[Introduction], Answer]


class Introducer:
    """Asks. Channels are opened for one question, since there are few."""

    def __init__(self, open_channel: OpenChannel) -> None:
        self._open_channel = open_channel
        self.refused: set[str] = set()
        """Nodes with which no handshake succeeded when they were last asked."""

    async def ask(self, node: str, address: str, mine: Introduction) -> Answer | None:
        """As ``beginning.Ask``."""
        channel = self._open_channel(node, address)
        try:
            call: Any = channel.unary_unary(METHOD, _encode, None)
            # A decoder that fails within gRPC gives None for an answer.
            answer = _decode_answer(await call(mine, timeout=ASK_S))
        except grpc.aio.AioRpcError as error:
            handshake = "handshake" in str(error.details())
            (self.refused.add if handshake else self.refused.discard)(node)
            return None
        except ValueError:
            return None  # of another release
        else:
            self.refused.discard(node)
            return answer if answer.introduction.node == node else None
        finally:
            await channel.close(None)


async def answer(introduced: Introduced, data: bytes, context: Any) -> bytes:
    """Answers a node that introduces itself: takes and returns the messages' bytes, as the servicer
    does. Aborts the call of one that introduces somebody else."""
    try:
        asked = _introduction(pb.Introduction.FromString(data))
    except (DecodeError, ValueError) as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no introduction: {error}")
        raise AssertionError("abort raises") from error
    if peer_name(context.auth_context()) != asked.node:
        why = "a node introduces itself, and nobody else"
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, why)
    said = introduced(asked)
    reply = pb.IntroductionAnswer(
        introduction=_message(said.introduction),
        accepted=said.welcome.accepted,
        refusal=said.welcome.refusal,
        admission=said.welcome.admission,
    )
    return bytes(reply.SerializeToString())


def _encode(mine: Introduction) -> bytes:
    return bytes(_message(mine).SerializeToString())


def _message(mine: Introduction) -> pb.Introduction:
    return pb.Introduction(
        node=mine.node,
        disk=mine.disk,
        cluster=mine.cluster,
        founders=mine.founders,
        promised=None if mine.promised is None else pb.Disks(by_node=mine.promised),
        founded=None if mine.founded is None else pb.Disks(by_node=mine.founded),
        admission=mine.admission,
    )


def _decode_answer(data: bytes) -> Answer:
    try:
        told = pb.IntroductionAnswer.FromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return Answer(
        _introduction(told.introduction),
        Welcome(told.accepted, told.refusal, admission=told.admission),
    )


def _introduction(told: pb.Introduction) -> Introduction:
    if not told.node or not told.disk or len(told.founders) > FOUNDERS_MAX:
        raise ValueError("a node, its disk, and the founders")
    promised = _disks(told.promised) if told.HasField("promised") else None
    founded = _disks(told.founded) if told.HasField("founded") else None
    admission = told.admission if told.HasField("admission") else None
    founders = tuple(told.founders)
    return Introduction(told.node, told.disk, told.cluster, founders, promised, founded, admission)


def _disks(told: pb.Disks) -> Disks:
    if len(told.by_node) > FOUNDERS_MAX:
        raise ValueError("too many founders")
    return dict(told.by_node)

"""Letters between participants over gRPC: one stream each way between any two.

A stream keeps the order of what is sent; what is under way when it breaks is lost, and a stream
that begins ends the one before it, so that nothing of that arrives later. All that waits for a
stream goes in one message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import structlog

from cluster.consensus import introductions
from cluster.consensus.core.messages import AppendRequest, Message, SnapshotPiece
from cluster.consensus.forwarding import Forward, Letter
from cluster.consensus.interface import Peer
from cluster.consensus.introductions import Introduced
from cluster.consensus.wire import decode, encode
from cluster.transport.member_certificates import peer_name
from paceline.errors import ProtocolError

_log = structlog.get_logger()

METHOD = "/paceline.v1.Consensus/Send"

WAITING_BYTES_MAX = 8 * 1024 * 1024
"""For one stream. What is sent then is lost, as on a link that is cut."""

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""Of letters that go together, but for one that is larger alone."""

RETRY_S = 0.1
REFUSED_RETRY_S = 1.0
"""After a handshake that failed: only a restart with another secret will change that."""

CONNECT_S = 2.0
WRITE_S = 5.0
"""After which a stream that takes nothing is given up."""

DISK_KEY = "paceline-disk"
ADDRESS_KEY = "paceline-address"
"""In the metadata of a stream: the sender's disk, and where it is reached. So a node hears from
one that came while it was away, and can answer."""

Receive = Callable[[Letter], None]

Meet = Callable[[str, Peer], bool]
"""Called with a node's id, as its certificate has it, when a stream of its begins. Returns False if
the log knows that node with another disk."""


class GrpcLinks:
    """``open_channel`` opens a channel to the participant of that name, or gives None for one whose
    address is not known. ``reset`` is called with a name when the stream to it broke. ``disk`` and
    ``address`` are this participant's."""

    def __init__(
        self,
        open_channel: Callable[[str], grpc.aio.Channel | None],
        reset: Callable[[str], None],
        disk: str,
        address: str,
    ) -> None:
        self._open_channel = open_channel
        self._reset = reset
        self._metadata = ((DISK_KEY, disk), (ADDRESS_KEY, address))
        self._ways: dict[str, _Way] = {}

    def send(self, letter: Letter) -> None:
        way = self._ways.get(letter.target)
        if way is None:
            way = _Way(letter.target, self._open_channel, self._reset, self._metadata)
            self._ways[letter.target] = way
        way.send(letter)

    def keep(self, names: set[str]) -> None:
        """Ends the streams to all others, which take no part any more."""
        for name in self._ways.keys() - names:
            self._ways.pop(name).cancel()

    @property
    def refused(self) -> list[str]:
        """Names of those with which no handshake succeeds: their secret is another one, or this
        node's is."""
        return sorted(name for name, way in self._ways.items() if way.is_refused)

    async def aclose(self) -> None:
        ways = list(self._ways.values())
        self._ways.clear()
        for way in ways:
            way.cancel()
        for way in ways:
            await way.ended()


class _Way:
    """To one participant."""

    def __init__(
        self,
        name: str,
        open_channel: Callable[[str], grpc.aio.Channel | None],
        reset: Callable[[str], None],
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        self._metadata = metadata
        self.is_refused = False
        self._name = name
        self._open_channel = open_channel
        self._reset = reset
        self._letters: list[Letter] = []
        self._bytes = 0
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, letter: Letter) -> None:
        size = _size(letter)
        if self._bytes and self._bytes + size > WAITING_BYTES_MAX:
            return
        self._letters.append(letter)
        self._bytes += size
        self._wake.set()

    def cancel(self) -> None:
        self._task.cancel()

    async def ended(self) -> None:
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._wake.wait()  # until there is something to say
            channel = self._open_channel(self._name)
            if channel is not None:
                try:
                    await self._use(channel)
                except (grpc.aio.AioRpcError, TimeoutError) as error:
                    _log.debug("consensus stream ended", to=self._name, reason=_why(error))
                finally:
                    await channel.close(None)
            self._take_all()
            await asyncio.sleep(REFUSED_RETRY_S if self.is_refused else RETRY_S)

    async def _use(self, channel: grpc.aio.Channel) -> None:
        """Returns, or raises, when the stream has ended."""
        call: Any = channel.stream_unary(METHOD, _as_it_is, _as_it_is)(
            None, metadata=self._metadata
        )
        try:
            async with asyncio.timeout(CONNECT_S):
                await call.initial_metadata()
            if call.done():  # it never was a stream
                why = str(await call.details())
                self.is_refused = "handshake" in why
                _log.debug("no consensus stream", to=self._name, reason=why)
                return
            self.is_refused = False
            ended = asyncio.ensure_future(call.code())
            ended.add_done_callback(self._look_up)
            try:
                await self._write_until(call, ended)
            finally:
                ended.remove_done_callback(self._look_up)
                ended.cancel()
            self._reset(self._name)
        finally:
            call.cancel()

    def _look_up(self, ended: asyncio.Future[Any]) -> None:
        self._wake.set()

    async def _write_until(self, call: Any, ended: asyncio.Future[Any]) -> None:
        while not ended.done():
            while self._letters and not ended.done():
                data = encode(self._take())
                try:
                    async with asyncio.timeout(WRITE_S):
                        await call.write(data)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    return
            if not ended.done():
                self._wake.clear()
                await self._wake.wait()  # for letters, or the end of the stream

    def _take(self) -> list[Letter]:
        """The first letters, as many as go together."""
        size = count = 0
        for letter in self._letters:
            size += _size(letter)
            if count and size > MESSAGE_BYTES_MAX:
                size -= _size(letter)
                break
            count += 1
        taken, self._letters = self._letters[:count], self._letters[count:]
        self._bytes -= size
        return taken

    def _take_all(self) -> None:
        """What waited for a stream that was none is lost."""
        self._letters = []
        self._bytes = 0
        self._wake.clear()


class ConsensusServicer(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # not at run time
    """Takes letters of members, and introductions."""

    def __init__(self, receive: Receive, meet: Meet, introduced: Introduced) -> None:
        self._receive = receive
        self._meet = meet
        self._introduced = introduced
        self._current: dict[str, object] = {}
        """By disk, its newest stream."""

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method == METHOD:
            return grpc.stream_unary_rpc_method_handler(self._send)
        if details.method == introductions.METHOD:
            return grpc.unary_unary_rpc_method_handler(self._introduce)
        return None

    async def _introduce(self, request: bytes, context: Any) -> bytes:
        return await introductions.answer(self._introduced, request, context)

    async def _send(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        node = peer_name(context.auth_context())
        if node is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "members show a certificate")
            raise AssertionError("abort raises")
        told = dict(context.invocation_metadata())
        peer = Peer(str(told.get(ADDRESS_KEY, "")), str(told.get(DISK_KEY, "")))
        if not peer.disk or not self._meet(node, peer):
            why = f"{node} is known with another disk than {peer.disk!r}"
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, why)
        this = object()
        self._current[peer.disk] = this
        try:
            await context.send_initial_metadata(())
            async for data in requests:
                if self._current.get(peer.disk) is not this:
                    break
                try:
                    self._take(node, peer.disk, data)
                except ProtocolError as error:
                    _log.warning("consensus stream refused", node=node, reason=str(error))
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            if self._current.get(peer.disk) is this:
                del self._current[peer.disk]
        return b""

    def _take(self, node: str, disk: str, data: bytes) -> None:
        for letter in decode(data):
            if disk != letter.source:
                raise ProtocolError(f"{node} sends what {letter.source} says")
            self._receive(letter)


def _as_it_is(data: bytes) -> bytes:
    return data


def _size(letter: Letter) -> int:
    """About; what is not data has a few dozen bytes."""
    match letter:
        case Message(body=AppendRequest(entries=entries)):
            return 64 + sum(32 + len(entry.data) for entry in entries)
        case Message(body=SnapshotPiece(data=data)):
            return 128 + len(data)
        case Forward(what=bytes() as command):
            return 64 + len(command)
    return 64


def _why(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return "it takes nothing"

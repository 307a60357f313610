"""pysyncobj's TCP transport with what a cluster of ours needs beyond it.

* Pings between followers. A connection on which nothing was read for ``connectionTimeout`` is
  closed by the next send, which is lost: without pings that is the vote request after the leader
  died, and every failover takes two elections.
* Dialling elsewhere than the configured address, which is the peer's identity. The peer with the
  greater address (as text) dials.
* Names resolved outside the tick thread, so that a slow name server delays no heartbeat.
* Authentication failures noticed. Nobody but a configured peer gets past the handshake.
* A disk that the cluster does not know yet has no vote in a cluster that has a history.
* Strangers bounded, in number, in time, and in what they may send (see ``raft_sockets``).
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from cryptography.fernet import Fernet, InvalidToken
from pysyncobj.node import Node, TCPNode
from pysyncobj.tcp_connection import CONNECTION_STATE
from pysyncobj.transport import TCPTransport, TransportNotReadyError

import cluster.consensus.raft_setup  # noqa: F401 - undoes what pysyncobj's import does to sockets
from cluster.consensus.raft_sockets import READ_BYTES, DescriptorReserve, PeerConnection, PeerServer
from paceline.clock import now

_log = structlog.get_logger()

FOUNDING_ENTRIES_MAX = 100
"""A candidate whose log is longer stands for a cluster with a history. Founding takes about ten
entries per node, so this is never reached before every node that is up has registered; a
cluster renewing a lease four times a second passes it within half a minute."""

STRANGERS_MAX = 64
"""Connections that have not told who they are; peers need a few milliseconds to do so. Beyond it
the oldest goes: to crowd a peer out, so many have to come while it shakes hands."""

STRANGERS_PER_HOST_MAX = 32

STRANGER_S = 1.5
"""For a handshake; it takes two steps of either thread."""

WARNINGS_MAX = 64
"""The most different warnings that are kept, so as not to repeat them."""

REFUSALS_NOTED = 3
"""Handshakes cut off in a row before a peer is said to refuse this node: one is a restart."""

REFUSAL_S = 0.5
"""A peer that refuses a handshake does so at once; one that hangs is closed by our time-out."""

WARN_S = 10.0
"""Between two warnings about the same trouble."""

_ELECTION = frozenset({"request_vote", "response_vote", "timeout_now"})
"""Messages that are logged, at debug level: whoever wonders about a long election needs them."""
_TOLD = ("type", "term", "last_log_term", "last_log_index")


@dataclass
class LinkTrouble:
    """What is wrong with the links; written by the tick thread, read by anyone."""

    auth_failures: int = 0
    """Messages that were not encrypted with this cluster's secret."""
    refused_by: set[str] = field(default_factory=set)
    """Peers that close every connection before the handshake is over."""
    bind_error: OSError | None = None

    @property
    def description(self) -> str | None:
        if not (self.auth_failures or self.refused_by):
            return None
        who = ", ".join(sorted(self.refused_by)) or "a peer"
        return f"{who} may use another cluster secret (PACELINE_SECRET must be the same everywhere)"


@dataclass
class TransportOptions:
    dial_map: Mapping[str, str]
    may_vote: bool
    trouble: LinkTrouble = field(default_factory=LinkTrouble)
    reserve: DescriptorReserve = field(default_factory=DescriptorReserve)
    """The tick thread's, for connections of peers and for the log's own files."""


class Resolver:
    """Names to addresses without waiting: the answer of the last lookup, which each call renews."""

    def __init__(self, lookup: Callable[[str], str] = socket.gethostbyname) -> None:
        self._lookup = lookup
        self._addresses: dict[str, str] = {}
        self._running: set[str] = set()

    def address(self, host: str) -> str | None:
        """None: not known yet; ask again."""
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            pass
        if host not in self._running:
            self._running.add(host)
            threading.Thread(
                target=self._run, args=(host,), name=f"resolve {host}", daemon=True
            ).start()
        return self._addresses.get(host)

    def _run(self, host: str) -> None:
        try:
            self._addresses[host] = self._lookup(host)
        except OSError as error:
            _log.debug("peer name not resolved", host=host, error=str(error))
        finally:
            self._running.discard(host)


class _WatchedCipher:
    """The connection's cipher; says when a message does not open."""

    def __init__(self, cipher: Fernet, failed: Callable[[], None]) -> None:
        self._cipher = cipher
        self._failed = failed
        self.encrypt_at_time = cipher.encrypt_at_time
        self.decrypt = cipher.decrypt

    def extract_timestamp(self, token: bytes) -> int:
        """Comes first for every message received, and verifies its signature."""
        try:
            return self._cipher.extract_timestamp(token)
        except InvalidToken:
            self._failed()
            raise


class PeerTransport(TCPTransport):  # type: ignore[misc]
    """See the module. Everything but the options' fields belongs to the tick thread."""

    def __init__(
        self, options: TransportOptions, sync_obj: Any, self_node: TCPNode, others: set[TCPNode]
    ) -> None:
        self._options = options
        self._trouble = options.trouble
        self._resolver = Resolver()
        self._next_ping = 0.0
        self._handshakes: dict[PeerConnection, float] = {}
        self._refusals: dict[str, int] = {}
        self._strangers: dict[PeerConnection, float] = {}
        self._warned: dict[str, float] = {}
        self._reserve = options.reserve
        self._reserve.refill()
        super().__init__(sync_obj, self_node, others)

    _ready: bool

    def _createServer(self) -> None:
        host, _, port = self._syncObj.conf.bindAddress.rpartition(":")
        self._server = PeerServer(
            self._syncObj._poller,
            (host, int(port)),
            self._syncObj.conf.connectionTimeout,
            self._onNewIncomingConnection,
            self._make_room,
        )

    def _make_room(self) -> bool:
        """Frees a descriptor: one kept back for peers, else that of the oldest stranger."""
        if self._reserve.give():
            return True
        oldest = next(iter(self._strangers), None)
        if oldest is None:
            return False
        self._dismiss(oldest)
        return self._reserve.give()

    def _maybeBind(self) -> None:
        if self._ready:
            return
        try:
            self._server.bind()
        except OSError as error:
            self._server.unbind()
            self._trouble.bind_error = error
            raise TransportNotReadyError from error
        self._ready = True
        self._bindOverEvent.set()

    def _onTick(self) -> None:
        super()._onTick()
        t = now()
        if t >= self._next_ping:
            self._next_ping = t + self._syncObj.conf.connectionTimeout / 4
            for node in list(self._nodes):
                self.send(node, {"type": "ping"})
            self._reserve.refill()
        self._server.tick(t)
        self._dismiss_strangers(t)

    def send(self, node: Node, message: Any) -> bool:
        sent: bool = super().send(node, message)
        if message["type"] in _ELECTION:
            _log.debug("raft message sent", to=node.id, sent=sent, **_told(message))
        return sent

    # Connecting

    def _connectIfNecessarySingle(self, node: TCPNode) -> bool:
        connection = self._connections.get(node)
        if connection is not None and connection.state != CONNECTION_STATE.DISCONNECTED:
            return True
        if connection is None or not self._shouldConnect(node):
            return False
        t = now()
        retry_s = self._syncObj.conf.connectionRetryTime
        if t - self._lastConnectAttempt.get(node, float("-inf")) < retry_s:
            return False
        target = self._options.dial_map.get(node.address, node.address)
        host, _, port = target.rpartition(":")
        address = self._resolver.address(host.removeprefix("[").removesuffix("]"))
        if address is None:
            return False
        self._lastConnectAttempt[node] = t
        try:
            connected: bool = connection.connect(address, int(port))
        except OSError:  # no descriptor is left; the next attempt is to have one
            self._make_room()
            self._lastConnectAttempt.pop(node)
            return False
        if not connected:
            connection.disconnect()  # closes the socket, which connect leaves open
        return connected

    def addNode(self, node: TCPNode) -> None:
        self._nodes.add(node)
        self._nodeAddrToNode[node.address] = node
        if not self._shouldConnect(node):
            return
        connection = PeerConnection(
            poller=self._syncObj._poller,
            timeout=self._syncObj.conf.connectionTimeout,
            sendBufferSize=READ_BYTES,
            recvBufferSize=READ_BYTES,
        )
        connection.encryptor = self._syncObj.encryptor
        connection.setOnConnectedCallback(functools.partial(self._onOutgoingConnected, connection))
        connection.setOnDisconnectedCallback(functools.partial(self._onDisconnected, connection))
        self._connections[node] = connection
        self._watch(connection, node.address)

    def _onOutgoingConnected(self, conn: PeerConnection) -> None:
        self._handshakes[conn] = now()
        super()._onOutgoingConnected(conn)

    def _onOutgoingMessageReceived(self, conn: PeerConnection, message: Any) -> None:
        self._handshakes.pop(conn, None)
        conn.known()
        node = self._connToNode(conn)
        if node is not None:
            self._refusals.pop(node.id, None)
            self._trouble.refused_by.discard(node.id)
        super()._onOutgoingMessageReceived(conn, message)

    def _onDisconnected(self, conn: PeerConnection) -> None:
        self._strangers.pop(conn, None)
        begun = self._handshakes.pop(conn, None)
        if begun is not None and now() - begun < REFUSAL_S:
            node = self._connToNode(conn)
            if node is not None:
                self._note_refusal(node.id)
        super()._onDisconnected(conn)

    # Being connected to

    def _onNewIncomingConnection(self, conn: PeerConnection) -> None:
        super()._onNewIncomingConnection(conn)
        self._watch(conn, "a connecting peer")
        self._strangers[conn] = now()
        of_host = [other for other in self._strangers if other.host == conn.host]
        if len(of_host) > STRANGERS_PER_HOST_MAX:
            self._dismiss(of_host[0])
        elif len(self._strangers) > STRANGERS_MAX:
            self._dismiss(next(iter(self._strangers)))

    def _onIncomingMessageReceived(self, conn: PeerConnection, message: Any) -> None:
        if conn.sendRandKey:
            # Also ends pysyncobj's admin commands and read-only followers, which nobody uses.
            if not isinstance(message, str) or message not in self._nodeAddrToNode:
                self._warn(f"refused {message!r:.80}, which is no peer of this node")
                self._dismiss(conn)
                return
            self._strangers.pop(conn, None)
            conn.known()
        super()._onIncomingMessageReceived(conn, message)

    def _onMessageReceived(self, node: Node, message: Any) -> None:
        if message.get("type") in _ELECTION:
            _log.debug("raft message received", sender=node.id, **_told(message))
        if (
            not self._options.may_vote
            and message.get("type") == "request_vote"
            and message["last_log_index"] > FOUNDING_ENTRIES_MAX
        ):
            self._warn(
                "no vote for an established cluster until it knows this data directory "
                "(a directory that was emptied may have voted before)"
            )
            return
        super()._onMessageReceived(node, message)

    def _dismiss_strangers(self, t: float) -> None:
        for conn, since in list(self._strangers.items()):
            if t - since > STRANGER_S:
                self._dismiss(conn)

    def _dismiss(self, conn: PeerConnection) -> None:
        self._strangers.pop(conn, None)
        self._unknownConnections.discard(conn)
        conn.disconnect()
        self._reserve.refill()

    # Trouble

    def _watch(self, conn: PeerConnection, who: str) -> None:
        conn.encryptor = _WatchedCipher(conn.encryptor, functools.partial(self._auth_failed, who))

    def _auth_failed(self, who: str) -> None:
        self._trouble.auth_failures += 1
        self._warn(f"{who} uses another cluster secret; give all nodes the same PACELINE_SECRET")

    def _note_refusal(self, node_id: str) -> None:
        self._refusals[node_id] = self._refusals.get(node_id, 0) + 1
        if self._refusals[node_id] >= REFUSALS_NOTED:
            self._trouble.refused_by.add(node_id)
            self._warn(
                f"{node_id} closes connections before they are set up: it may use another "
                "cluster secret"
            )

    def _warn(self, what: str) -> None:
        t = now()
        if t - self._warned.get(what, float("-inf")) >= WARN_S:
            if len(self._warned) >= WARNINGS_MAX:
                self._warned.clear()
            self._warned[what] = t
            _log.warning("consensus link", reason=what)


def _told(message: Mapping[str, Any]) -> dict[str, Any]:
    """What an election message says: its type, the term, how long the candidate's log is."""
    return {name: message[name] for name in _TOLD if name in message}

"""Connections of the consensus port: what the kernel holds for them."""

from __future__ import annotations

import os
import socket

from pysyncobj.poller import createPoller

from cluster.consensus.raft_sockets import READ_BYTES, STRANGER_BYTES_MAX, PeerConnection


def test_a_connection_that_is_opened_has_room_in_the_kernel_for_what_members_send() -> None:
    """Its window is agreed on when it is opened, long before the other end is known."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        connection = PeerConnection(createPoller("auto"), recvBufferSize=READ_BYTES)
        assert connection.connect(host, port)
        try:
            with socket.socket(fileno=os.dup(connection.fileno())) as opened:
                held = opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            assert held >= READ_BYTES
            # Nobody has shown who it is, so still no more than a stranger's bytes are read.
            assert connection._TcpConnection__recvBufferSize == 4 + STRANGER_BYTES_MAX
        finally:
            connection.disconnect()

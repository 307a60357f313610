"""A port in use is found before anything starts, with its holder's name."""

import os
import socket

import pytest

from paceline.errors import ConfigError
from paceline_local.ports import check_free, find_holder
from tests.support.local import free_base_port


def test_free_ports_pass() -> None:
    base = free_base_port()
    check_free([("one", base), ("two", base + 1)])


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_listener_is_named_with_purpose_and_pid(host: str) -> None:
    with socket.create_server((host, 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            check_free([("node-2, DAX", port)])
    message = str(caught.value)
    assert f"port {port} (node-2, DAX) is in use by" in message
    assert f"(pid {os.getpid()})" in message
    assert "--base-port" in message


def test_many_conflicts_make_one_short_message() -> None:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(7)]
    try:
        with pytest.raises(ConfigError, match="and 4 more"):
            check_free([("x", listener.getsockname()[1]) for listener in listeners])
    finally:
        for listener in listeners:
            listener.close()


def test_a_port_after_its_server_closed_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # the server's side closes first, so it is the one in TIME_WAIT
            assert client.recv(1) == b""
    check_free([("again", port)])


def test_nobody_holds_a_free_port() -> None:
    assert find_holder(free_base_port()) is None

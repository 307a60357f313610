"""What is found at servers that are none, no longer there, of another kind, or of another name."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from paceline.dax.responses import Endpoint, Role, endpoints_reply
from paceline.errors import Unavailable
from paceline_local.doctor import asking, reaching
from paceline_local.doctor.examination import examine
from paceline_local.doctor.findings import Finding, Level
from paceline_local.doctor.target import Target
from paceline_local.ready_file import ClusterEntry
from tests.support.certificates import Authority, write_pair

HEALTHY = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\nDate: %s\r\n\r\n"
    b"healthy: dynamodb.eu-west-1.amazonaws.com "
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASK_S", 1.0)


@contextmanager
def server(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Says ``answer`` to whatever comes first on each connection, and ends it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with connection:
                    connection.settimeout(5)
                    wrapped = (
                        connection if tls is None else tls.wrap_socket(connection, server_side=True)
                    )
                    with wrapped:
                        if wrapped.recv(65536):
                            wrapped.sendall(answer)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def examined(
    kind: str,
    port: int,
    *,
    tls: bool = False,
    host: str = "127.0.0.1",
    environment: Mapping[str, str] | None = None,
    **more: Any,
) -> list[Finding]:
    found: list[Finding] = []
    good = examine(Target(kind, host, port, tls), environment or {}, found.append, **more)
    assert good is not any(one.level is Level.PROBLEM for one in found)
    return found


def one(found: list[Finding], check: str) -> Finding:
    (finding,) = [finding for finding in found if finding.check == check]
    return finding


def node(port: int, role: Role = Role.LEADER) -> Endpoint:
    return Endpoint(1, "n1", b"\x7f\0\0\1", port, role, "a", 1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class TestReaching:
    def test_a_name_that_is_not_there(self) -> None:
        found = examined("dax", 8111, host="no-such-host.invalid")
        assert one(found, "name").level is Level.PROBLEM
        assert [finding.check for finding in found][-2:] == ["versions", "cluster"]

    def test_a_name_of_aws_is_told_where_to_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "not known")

        monkeypatch.setattr(socket, "getaddrinfo", nobody)
        found = examined("dax", 8111, host="c.dax-clusters.us-east-1.amazonaws.com")
        assert "/etc/hosts" in one(found, "name").advice

    def test_a_port_where_nothing_listens(self) -> None:
        found = one(examined("dax", free_port()), "port")
        assert found.level is Level.PROBLEM
        assert "nothing listens" in found.advice

    def test_an_address_that_is_cut_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def silent(*_: Any, **__: Any) -> Any:
            raise TimeoutError

        monkeypatch.setattr(socket, "create_connection", silent)
        found = one(examined("dax", 8111), "port")
        assert "firewalls" in found.advice
        assert "no answer within" in found.found

    def test_an_address_before_the_one_that_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """localhost is ::1 first on many machines."""

        def connect(address: tuple[str, int], _: float) -> socket.socket:
            if address[0] == "::1":
                raise OSError(errno.ECONNREFUSED, "Connection refused")
            return socket.socket()

        monkeypatch.setattr(socket, "create_connection", connect)
        target = Target("dax", "localhost", 8111, tls=False)
        findings, address = reaching.connect(target, ["::1", "127.0.0.1"])
        assert address == "127.0.0.1"
        assert [finding.level for finding in findings] == [Level.OK, Level.WARNING]
        findings, _ = reaching.connect(target, ["127.0.0.1", "::1"])
        assert [finding.level for finding in findings] == [Level.OK]


class TestCertificates:
    @pytest.fixture
    def authority(self) -> Authority:
        return Authority.new("Tests")

    @pytest.fixture
    def ca(self, authority: Authority, tmp_path: Path) -> str:
        path = tmp_path / "ca.pem"
        path.write_bytes(authority.pem)
        return str(path)

    @staticmethod
    def context(authority: Authority, directory: Path, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*write_pair(directory, authority, *names))
        return context

    def test_one_of_an_unknown_authority(self, authority: Authority, tmp_path: Path) -> None:
        with server(b"", self.context(authority, tmp_path)) as port:
            found = one(examined("dax", port, tls=True), "certificate")
        assert found.level is Level.PROBLEM
        assert "AWS_CA_BUNDLE" in found.advice

    def test_one_for_another_name(self, authority: Authority, tmp_path: Path, ca: str) -> None:
        with server(b"", self.context(authority, tmp_path, "elsewhere.example")) as port:
            found = one(examined("dax", port, tls=True, ca=ca), "certificate")
        assert found.level is Level.PROBLEM
        assert "make one for 127.0.0.1" in found.advice

    def test_a_good_one(self, authority: Authority, tmp_path: Path, ca: str) -> None:
        with server(b"", self.context(authority, tmp_path)) as port:
            found = examined("http", port, tls=True, ca=ca)
        assert one(found, "certificate").level is Level.OK
        assert one(found, "TLS").found.startswith("TLSv1.3")
        assert one(found, "protocol").level is Level.PROBLEM

    def test_a_port_without_tls(self) -> None:
        with server(b"nothing of TLS") as port:
            found = examined("dax", port, tls=True)
        assert one(found, "TLS").level is Level.PROBLEM
        assert "without TLS" in one(found, "TLS").advice

    @pytest.mark.parametrize("kind", ["dax", "http"])
    def test_a_port_with_tls_that_was_taken_for_one_without(
        self, authority: Authority, tmp_path: Path, kind: str
    ) -> None:
        with server(b"", self.context(authority, tmp_path)) as port:
            found = one(examined(kind, port), "TLS")
        assert found.level is Level.PROBLEM
        assert found.advice.startswith(f"use {kind}s://")


class TestProtocols:
    @pytest.mark.parametrize("answer", [b"", b"+PONG\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    def test_no_dax(self, answer: bytes) -> None:
        with server(answer) as port:
            found = examined("dax", port)
        assert one(found, "protocol").level is Level.PROBLEM

    @pytest.mark.parametrize(
        "answer", [b"", b"\x80", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"]
    )
    def test_no_node_by_http(self, answer: bytes) -> None:
        with server(answer) as port:
            found = examined("http", port)
        assert one(found, "protocol").level is Level.PROBLEM
        assert not [finding for finding in found if finding.check == "permission"]

    def test_a_node_whose_clock_is_off(self) -> None:
        with server(HEALTHY % b"Thu, 01 Jan 2015 00:00:00 GMT") as port:
            found = examined("http", port)
        assert "eu-west-1" in one(found, "protocol").found
        assert one(found, "clock").level is Level.PROBLEM

    def test_a_node_that_tells_no_time(self) -> None:
        with server(HEALTHY % b"soon") as port:
            assert one(examined("http", port), "clock").level is Level.SKIPPED


class TestRosters:
    def asked(self, nodes: list[Endpoint]) -> list[Finding]:
        with server(endpoints_reply(nodes)) as port:
            target = Target("dax", "127.0.0.1", port, tls=False)
            found, named = asking.roster(target, "127.0.0.1", None, None)
        return found + (asking.nodes_reached(named) if named else [])

    def test_nobody(self) -> None:
        assert one(self.asked([]), "roster").level is Level.PROBLEM

    def test_nobody_who_takes_writes(self) -> None:
        found = self.asked([node(free_port(), Role.REPLICA)])
        assert one(found, "roster").level is Level.WARNING

    def test_nodes_that_are_not_reached(self) -> None:
        gone = node(free_port())
        with socket.create_server(("127.0.0.1", 0)) as there:
            here = node(there.getsockname()[1])
            assert one(self.asked([here]), "nodes").level is Level.OK
            some = one(self.asked([here, gone]), "nodes")
        assert some.level is Level.WARNING
        assert f":{gone.port}" in some.found
        assert one(self.asked([gone]), "nodes").level is Level.PROBLEM


class TestClusters:
    @staticmethod
    def entry(*nodes: dict[str, Any]) -> ClusterEntry:
        made: Any = {"nodes": [{"alive": True, "role": "replica", **each} for each in nodes]}
        entry: ClusterEntry = made
        return entry

    def inside(self, entry: ClusterEntry) -> list[Finding]:
        return examined("dax", free_port(), cluster=lambda: entry)

    def test_a_good_one(self) -> None:
        found = self.inside(self.entry({"id": "n1", "role": "primary"}, {"id": "n2"}))
        assert one(found, "cluster").found == "2 nodes answer, and n1 is the primary"

    def test_no_primary_and_silent_nodes(self) -> None:
        found = self.inside(self.entry({"id": "n1"}, {"id": "n2", "alive": False}))
        said = [finding for finding in found if finding.check == "cluster"]
        assert [finding.level for finding in said] == [Level.WARNING, Level.PROBLEM]
        assert "n2" in said[0].found

    def test_releases(self) -> None:
        entry = self.entry(
            {"id": "n1", "role": "primary", "version": "9.0"}, {"id": "n2", "version": "9.1"}
        )
        assert "9.0, 9.1" in one(self.inside(entry), "versions").found
        entry = self.entry({"id": "n1", "role": "primary", "version": "9.0"})
        assert one(self.inside(entry), "versions").level is Level.WARNING

    def test_admin_addresses_that_give_no_answer(self) -> None:
        def nobody() -> ClusterEntry:
            raise Unavailable("no node answers")

        found = examined("dax", free_port(), cluster=nobody)
        assert one(found, "cluster").level is Level.WARNING

"""Which requests an HTTP server answers, by Host and Origin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.http_hosts import HttpHosts, host_of, host_of_origin, is_loopback


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("localhost", "localhost"),
        ("LocalHost.:8201", "localhost"),
        ("node-1.paceline.svc:8201", "node-1.paceline.svc"),
        ("my_node:", "my_node"),
        ("127.0.0.1:8201", "127.0.0.1"),
        ("[::1]:8201", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        # Browsers write these as 127.0.0.1 before they send them: to us they are names.
        ("127.1", "127.1"),
        ("2130706433", "2130706433"),
    ],
)
def test_hosts_are_read(authority: str, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    "authority",
    [
        "",
        ".",
        ":8201",
        "[",
        "[::1",
        "[::1]8201",
        "[127.0.0.1]",
        "[fe80::1%25eth0]",
        "[localhost]",
        "::1",
        "a b",
        "a:b",
        "a:65536",
        "a:\u00b2",
        "a:-1",
        "user@localhost",
        "localhost/",
        "localhost\r\nX: y",
        "localhost\n",
        "ex\u00e4mple",
        "a" * 254,
    ],
)
def test_what_is_no_host_is_none(authority: str) -> None:
    assert host_of(authority) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:3000", "localhost"),
        ("HTTPS://Node-1", "node-1"),
        ("null", None),
        ("", None),
        ("file://", None),
        ("chrome-extension://abcdefgh", None),
        ("http://evil.example http://localhost", None),
        ("http://localhost/path", None),
    ],
)
def test_hosts_of_origins(origin: str, host: str | None) -> None:
    assert host_of_origin(origin) == host


def test_a_server_on_loopback_answers_this_machine_and_its_own_names_only() -> None:
    hosts = HttpHosts(["127.0.0.1:8201", "node-1:8201"])
    for ours in ("127.0.0.1:8201", "localhost", "127.9.9.9", "[::1]:1", "[::ffff:127.0.0.1]",
                 "Node-1:80", None):  # fmt: skip
        assert hosts.refusal(ours) is None, ours
    for foreign in ("evil.example:8201", "localhost.evil.example", "10.0.0.1:8201", "[::2]",
                    "node-1.evil.example", "0.0.0.0", "127.1", "*"):  # fmt: skip
        assert hosts.refusal(foreign) is not None, foreign


def test_a_server_that_others_reach_answers_every_literal_address_but_no_foreign_name() -> None:
    hosts = HttpHosts(any_address=True)
    assert hosts.refusal("10.1.2.3:8201") is None
    assert hosts.refusal("[2001:db8::1]:8201") is None
    assert hosts.refusal("evil.example") is not None


def test_pages_of_other_hosts_are_refused() -> None:
    hosts = HttpHosts(["node-1:8201"], any_address=True)
    assert hosts.refusal("node-1:8201", "http://node-1:8113") is None
    assert hosts.refusal("localhost:8201", "http://127.0.0.1:3000") is None
    assert hosts.refusal("10.0.0.1:8201", "http://10.0.0.1:8113") is None
    for foreign in ("http://evil.example", "null", "http://10.0.0.2:8201", "file://"):
        assert hosts.refusal("node-1:8201", foreign) is not None, foreign


def test_with_any_host_a_page_may_still_ask_only_the_host_it_came_from() -> None:
    hosts = HttpHosts(["*"])
    assert hosts.refusal("anything.example") is None
    assert hosts.refusal("anything.example:1", "https://anything.example") is None
    assert hosts.refusal("anything.example", "https://evil.example") is not None
    assert hosts.refusal("a b") is not None


def test_a_setting_that_names_no_host_is_refused() -> None:
    with pytest.raises(ValueError, match="names no host"):
        HttpHosts(["http://node-1"])


@given(st.text(max_size=40), st.none() | st.text(max_size=40))
def test_any_text_gets_a_verdict_and_only_known_hosts_pass(host: str, origin: str | None) -> None:
    hosts = HttpHosts(["node-1"])
    if hosts.refusal(host, origin) is None:
        assert hosts.knows(host_of(host) or "")
        assert origin is None or hosts.knows(host_of_origin(origin) or "")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("LOCALHOST", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("", False),
        ("localhost.example", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback

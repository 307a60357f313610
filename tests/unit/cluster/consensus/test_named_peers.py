"""Where a process that starts looks for the others, before it may apply its log."""

from __future__ import annotations

from cluster.consensus.core.messages import Entry, Kind
from cluster.consensus.interface import Peer
from cluster.consensus.named_peers import named_peers
from cluster.log import commands as c
from cluster.log.state import ReplicatedState
from cluster.log.view import Member

FIRST = c.Bootstrap("c", {"n1": "a:1"}, {"n1": "d1"})
GROWN: list[c.Command] = [
    c.RegisterMember(Member("n1", "z", "i"), "d1"),
    c.AdmitMember("n2", "b:2"),
    c.NameDisk("n2", "d2"),
]


def entries(*commands: c.Command) -> list[Entry]:
    return [Entry(n, 1, Kind.COMMAND, c.encode(one)) for n, one in enumerate(commands, start=1)]


def test_an_empty_log_names_nobody() -> None:
    assert named_peers(b"", []) == []
    assert named_peers(b"", [Entry(1, 1, Kind.NOOP, b"")]) == []


def test_those_that_were_added_are_named() -> None:
    assert named_peers(b"", entries(FIRST, *GROWN)) == [
        ("n2", Peer("b:2", "d2")),
        ("n1", Peer("a:1", "d1")),
    ]


def test_a_snapshot_counts_too() -> None:
    state = ReplicatedState()
    for command in (FIRST, *GROWN):
        state.apply_command(command)
    assert set(named_peers(state.snapshot(), [])) == set(named_peers(b"", entries(FIRST, *GROWN)))


def test_who_was_removed_is_named_after_those_that_were_not() -> None:
    """That may not be committed, and its vote be needed."""
    later = [
        c.RegisterMember(Member("n2", "z", "i"), "d2"),
        c.RemoveMember("n2"),
        c.AdmitMember("n2", "e:5"),
        c.NameDisk("n2", "d5"),
        c.SetSetting("x", "1"),
    ]
    assert named_peers(b"", entries(FIRST, *GROWN, *later)) == [
        ("n2", Peer("e:5", "d5")),
        ("n1", Peer("a:1", "d1")),
        ("n2", Peer("b:2", "d2")),
    ]

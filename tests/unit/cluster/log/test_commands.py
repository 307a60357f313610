import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.log import commands as c
from cluster.log.view import Member

EXAMPLES: list[c.Command] = [
    c.Bootstrap("c-1", {"node-1": "h:1", "node-2": "h:2"}),
    c.Grant("node-1", "i", 7, 1.5, ("node-1", "node-2"), 3, True),
    c.Release("node-1", "i", 8),
    c.AdmitMember("node-4", "h:4"),
    c.RegisterMember(Member("node-1", "a", "i", 0, {"grpc": "h:9"}, True), "disk"),
    c.RemoveMember("node-2"),
    c.DefineAttributeList(("a", "é", "")),
    c.SetSetting("ttl", "5"),
    c.SetSetting("ttl", None),
    c.FollowStream("t", True),
    c.CheckpointStream(3, "t", "arn:1", {"shard-2": "17", "shard-1": "LATEST"}, ("shard-0",)),
    c.PutPrincipal("ann", 7, False, ("K1", "K2"), b"\x00sealed"),
    c.PutPrincipal("ann", 8, False, (), None),
    c.ChangeControl("t-1", 3, {"cluster": b"{}", "parameter-group/p": None}, (b"{}",)),
]


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda command: type(command).__name__)
def test_round_trip(command: c.Command) -> None:
    assert c.decode(c.encode(command)) == command


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb(5),
        msgpack.packb([1, "grant"]),
        msgpack.packb([2, "grant", []]),
        msgpack.packb([1, "from-the-future", [1]]),
        msgpack.packb([1, ["x"], []]),
        msgpack.packb([1, "grant", ["n", "i", "seq", 1.0, [], 1, False]]),
        msgpack.packb([1, "grant", ["n", "i", 1, float("nan"), [], 1, False]]),
        msgpack.packb([1, "grant", ["n", "i", 1, -1.0, [], 1, False]]),
        msgpack.packb([1, "remove", []]),
        msgpack.packb([1, "attribute-list", [[1]]]),
        msgpack.packb([1, "checkpoint-stream", [1, "t", "arn", {"shard": 7}, []]]),
        msgpack.packb([1, "principal", ["ann", 1, True, ["K1"], "text"]]),
        msgpack.packb([1, "control", ["t", 1, {"cluster": "text"}, []]]),
        msgpack.packb([1, "control", ["t", 1, {1: b"x"}, []]]),
        msgpack.packb([1, "control", ["t", 1, {}, ["text"]]]),
        msgpack.packb([1, "control", ["t", 1, {}]]),
        msgpack.packb([1, "register", [["x"], "d"]]),
        msgpack.packb([1, "bootstrap", ["c", {1: "x"}]]),
    ],
)
def test_what_cannot_be_read_is_unknown(data: bytes) -> None:
    assert isinstance(c.decode(data), c.Unknown)


@given(st.binary(max_size=200))
def test_decode_never_raises(data: bytes) -> None:
    c.decode(data)


def test_a_command_that_is_too_large_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="bytes"):
        c.encode(c.DefineAttributeList(("x" * c.COMMAND_BYTES_MAX,)))


def test_unknown_commands_are_not_encoded() -> None:
    with pytest.raises(ValueError, match="unknown"):
        c.encode(c.Unknown("x"))

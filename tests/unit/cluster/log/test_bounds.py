"""What of the state clients can make grow fits into a snapshot, all of it together."""

import msgpack
import pytest

from cluster.consensus.core.messages import SNAPSHOT_BYTES_MAX
from cluster.log import commands as c
from cluster.log import known_lists
from cluster.log.control_records import (
    EVENT_BYTES_MAX,
    EVENTS_MAX,
    RECORDS_BYTES_MAX,
    RECORDS_MAX,
    TOKEN_BYTES_MAX,
    TOKENS_MAX,
)
from cluster.log.known_lists import LIST_BYTES_MAX, LISTS_BYTES_MAX
from cluster.log.sealed_principals import ALL_BYTES_MAX, KEYS_MAX, PRINCIPALS_MAX
from cluster.log.state import SETTING_BYTES_MAX, SETTINGS_MAX, ReplicatedState
from cluster.log.stream_checkpoints import (
    CHECKPOINT_BYTES_MAX,
    STREAM_SHARDS_MAX,
    STREAM_TABLES_MAX,
)

NODES_BYTES_MAX = 4 * 1024 * 1024
"""Addresses, disks, epochs, in what nodes say of themselves: far less in truth."""

PART_BYTES_MAX = 9
"""That msgpack takes for a number, and more than it takes for what stands before a text."""


def names(number: int, size: int) -> tuple[str, ...]:
    return (f"{number:08}" + "n" * (size - 8),)


def test_all_bounds_together_are_below_the_largest_snapshot() -> None:
    principals = ALL_BYTES_MAX + PRINCIPALS_MAX * (KEYS_MAX + 5) * PART_BYTES_MAX
    settings = SETTINGS_MAX * (SETTING_BYTES_MAX + 3 * PART_BYTES_MAX)
    streams = STREAM_TABLES_MAX * CHECKPOINT_BYTES_MAX
    control = (
        RECORDS_BYTES_MAX
        + 2 * RECORDS_MAX * PART_BYTES_MAX
        + EVENTS_MAX * (EVENT_BYTES_MAX + PART_BYTES_MAX)
        + TOKENS_MAX * (TOKEN_BYTES_MAX + PART_BYTES_MAX)
    )
    of_clients = principals + settings + streams + control + LISTS_BYTES_MAX
    assert of_clients + NODES_BYTES_MAX < SNAPSHOT_BYTES_MAX


class TestAttributeLists:
    def test_their_number_is_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(known_lists, "ATTRIBUTE_LISTS_MAX", 3)
        state = ReplicatedState()
        assert state.apply_command(c.DefineAttributeList(("a",))).ok
        assert state.apply_command(c.DefineAttributeList(("b",))).ok
        assert not state.apply_command(c.DefineAttributeList(("c",))).ok
        assert state.apply_command(c.DefineAttributeList(("a",))).ok

    def test_the_names_of_every_item_fit(self) -> None:
        item_bytes_max = 400 * 1024
        for length in (3, 32, 256, 65_535):
            count = item_bytes_max // (length + 1)  # no value has less than a byte
            every = tuple(str(n).rjust(length, "n")[-length:] for n in range(count))
            assert ReplicatedState().apply_command(c.DefineAttributeList(every)).ok, length

    def test_a_larger_one_is_refused(self) -> None:
        refused = ReplicatedState().apply_command(
            c.DefineAttributeList(names(1, LIST_BYTES_MAX + 1))
        )
        assert not refused.ok
        assert f"the most is {LIST_BYTES_MAX}" in refused.reason

    def test_their_bytes_are_limited_also_after_a_restart(self) -> None:
        state, count, size = ReplicatedState(), 0, LIST_BYTES_MAX - 100
        while (last := state.apply_command(c.DefineAttributeList(names(count, size)))).ok:
            count += 1
        assert "together" in last.reason
        lists = msgpack.unpackb(state.snapshot())["attribute_lists"]
        taken = sum(len(msgpack.packb(each)) for each in lists)
        assert LISTS_BYTES_MAX - LIST_BYTES_MAX < taken <= LISTS_BYTES_MAX
        again = ReplicatedState()
        again.restore(state.snapshot())
        assert again.apply_command(c.DefineAttributeList(names(count, size))) == last
        assert again.apply_command(c.DefineAttributeList(names(0, size))).ok, "it is known"
        small = c.DefineAttributeList(("small",))
        assert again.apply_command(small) == state.apply_command(small)
        assert again.snapshot() == state.snapshot()

    def test_what_an_earlier_release_let_in_stays(self) -> None:
        state = ReplicatedState()
        fields = msgpack.unpackb(state.snapshot())
        fields["attribute_lists"] += [
            [n, list(names(n, 1_000_000))] for n in range(2, 3 + LISTS_BYTES_MAX // 1_000_000)
        ]
        state.restore(msgpack.packb(fields))
        assert state.names_of(2) == names(2, 1_000_000)
        assert not state.apply_command(c.DefineAttributeList(("more",))).ok
        assert msgpack.unpackb(state.snapshot()) == fields


class TestStreams:
    def test_the_checkpoint_of_every_stream_fits(self) -> None:
        positions = {f"shardId-{n:057}": "9" * 40 for n in range(STREAM_SHARDS_MAX)}
        arn = "arn:aws:dynamodb:" + "n" * 1_000
        command = c.CheckpointStream(0, "t" * 255, arn, positions)
        assert ReplicatedState().apply_command(command).ok

    def test_a_larger_one_is_refused(self) -> None:
        state = ReplicatedState()
        large = {"shard": "9" * CHECKPOINT_BYTES_MAX}
        refused = state.apply_command(c.CheckpointStream(0, "t", "arn", large))
        assert f"the most is {CHECKPOINT_BYTES_MAX}" in refused.reason
        name = "t" * CHECKPOINT_BYTES_MAX
        assert not state.apply_command(c.FollowStream(name, True)).ok
        assert state.streams == {}

import hashlib
from collections.abc import Sequence

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.log import commands as c
from cluster.log import state as state_module
from cluster.log import stream_checkpoints
from cluster.log.state import FORMER_DISKS_MAX, SETTING_BYTES_MAX, ReplicatedState
from cluster.log.stream_checkpoints import StreamCheckpoint
from cluster.log.view import Member
from tests.support.examples import examples


def hashed(names: Sequence[str]) -> int:
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return max(2, int.from_bytes(digest[:6], "big"))


def founded(*ids: str) -> ReplicatedState:
    state = ReplicatedState(hashed)
    voters = {id_: f"h:{n}" for n, id_ in enumerate(ids)}
    assert state.apply_command(c.Bootstrap("c-1", voters)).ok
    return state


def grant(holder: str, seq: int, incarnation: str = "i", new_epoch: bool = False) -> c.Grant:
    return c.Grant(holder, incarnation, seq, 1.5, ("n1", "n2", "n3"), 1, new_epoch)


def register(id_: str, disk: str = "d", incarnation: str = "i", zone: str = "a") -> c.Command:
    return c.RegisterMember(Member(id_, zone, incarnation), disk)


class TestLease:
    def test_first_grant_begins_epoch_1_with_its_members(self) -> None:
        state = founded("n1", "n2", "n3")
        assert state.apply_command(grant("n1", 0)).ok
        assert (state.lease.epoch, state.lease.seq, state.lease.holder) == (1, 1, "n1")
        assert state.view.epoch_members == ("n1", "n2", "n3")
        assert state.view.primary == "n1"

    def test_wrong_sequence_is_refused_and_changes_nothing(self) -> None:
        state = founded("n1", "n2", "n3")
        state.apply_command(grant("n1", 0))
        before = state.snapshot()
        assert not state.apply_command(grant("n2", 0)).ok
        assert not state.apply_command(c.Release("n1", "i", 0)).ok
        assert state.snapshot() == before

    def test_renewal_keeps_epoch_members_and_view(self) -> None:
        state = founded("n1", "n2", "n3")
        state.apply_command(grant("n1", 0))
        view = state.view
        renewal = c.Grant("n1", "i", 1, 2.0, ("n1",), 2)
        assert state.apply_command(renewal).ok
        assert state.lease.epoch == 1
        assert state.lease.members == ("n1", "n2", "n3")
        assert state.lease.duration_s == 2.0
        assert state.view is view

    @pytest.mark.parametrize(
        "second", [grant("n2", 1), grant("n1", 1, "j"), grant("n1", 1, new_epoch=True)]
    )
    def test_what_begins_an_epoch(self, second: c.Grant) -> None:
        state = founded("n1", "n2", "n3")
        state.apply_command(grant("n1", 0))
        assert state.apply_command(second).ok
        assert state.lease.epoch == 2

    def test_release_clears_the_holder_and_the_next_grant_begins_an_epoch(self) -> None:
        state = founded("n1", "n2", "n3")
        state.apply_command(grant("n1", 0))
        assert not state.apply_command(c.Release("n2", "i", 1)).ok
        assert not state.apply_command(c.Release("n1", "j", 1)).ok
        assert state.apply_command(c.Release("n1", "i", 1)).ok
        assert state.view.primary is None
        assert state.apply_command(grant("n1", 2)).ok
        assert state.lease.epoch == 2

    def test_only_members_hold_it_and_only_in_epochs_that_count_them(self) -> None:
        state = founded("n1", "n2")
        assert not state.apply_command(grant("n9", 0)).ok
        assert not state.apply_command(c.Grant("n1", "i", 0, 1.0, ("n2",), 1)).ok
        assert state.lease.seq == 0


class TestMembers:
    def test_bootstrap_happens_once(self) -> None:
        state = founded("n1")
        assert not state.apply_command(c.Bootstrap("c-2", {"x": "h:1"})).ok
        assert state.cluster_id == "c-1"

    def test_bootstrap_limits(self) -> None:
        state = ReplicatedState(hashed)
        assert not state.apply_command(c.Bootstrap("c", {})).ok
        many = {f"n{i}": f"h:{i}" for i in range(state_module.VOTERS_MAX + 1)}
        assert not state.apply_command(c.Bootstrap("c", many)).ok
        assert not state.apply_command(c.Bootstrap("", {"n": "h:1"})).ok

    def test_numbers_by_order_of_registration_kept_and_never_reused(self) -> None:
        state = founded("n1", "n2", "n3")
        assert state.apply_command(register("n3")).value == 1
        assert state.apply_command(register("n1")).value == 2
        assert state.apply_command(register("n3", incarnation="j")).value == 1
        assert state.apply_command(c.RemoveMember("n2")).ok
        assert state.apply_command(c.RemoveMember("n3")).ok
        assert state.apply_command(c.AdmitMember("n3", "h:77")).ok
        assert state.apply_command(register("n3", disk="new")).value == 3
        assert [m.id for m in state.view.members] == ["n1", "n3"]

    def test_another_disk_is_refused_until_removed_and_admitted_again(self) -> None:
        state = founded("n1", "n2")
        state.apply_command(register("n1"))
        state.apply_command(register("n2", disk="old"))
        assert state.apply_command(register("n2", disk="new")).reason == "other-disk"
        state.apply_command(c.RemoveMember("n2"))
        assert state.apply_command(register("n2", disk="new")).reason == "not-a-member"
        state.apply_command(c.AdmitMember("n2", "h:1"))
        assert state.apply_command(register("n2", disk="new")).ok

    def test_a_disk_is_named_once_and_for_a_member_only(self) -> None:
        state = founded("n1", "n2")
        assert state.apply_command(c.NameDisk("n9", "d")).reason == "not-a-member"
        assert state.disks == {}
        assert state.apply_command(c.NameDisk("n1", "d")).ok
        assert state.apply_command(c.NameDisk("n1", "d")).ok
        assert state.apply_command(c.NameDisk("n1", "e")).reason == "other-disk"
        assert state.apply_command(register("n1", disk="e")).reason == "other-disk"
        assert state.view.members == ()
        assert state.apply_command(register("n2", disk="x")).ok
        assert state.disks == {"n1": "d", "n2": "x"}
        assert state.apply_command(c.RemoveMember("n1")).ok
        assert state.disks == {"n2": "x"}
        state.apply_command(c.AdmitMember("n1", "h:1"))
        assert state.apply_command(c.RemoveMember("n9")).reason == "not-a-member"

    def test_how_the_log_was_founded_stays(self) -> None:
        """Whoever is removed, or has another disk: those that come late ask for it."""
        state = ReplicatedState(hashed)
        disks = {"n1": "d1", "n2": "d2", "n9": "d9"}
        assert state.apply_command(c.Bootstrap("c", {"n1": "h:1", "n2": "h:2"}, disks)).ok
        assert state.disks == {"n1": "d1", "n2": "d2"}, "of members only"
        assert state.voters == {"n1": "h:1", "n2": "h:2"}
        assert state.founders == disks
        assert not state.apply_command(c.Bootstrap("c", {"n1": "h:1"}, {"n1": "x"})).ok
        assert state.apply_command(c.RemoveMember("n2")).ok
        restored = ReplicatedState(hashed)
        restored.restore(state.snapshot())
        assert restored.founders == state.founders == disks
        assert restored.disks == state.disks == {"n1": "d1"}

    def test_a_cluster_may_be_as_large_as_that(self) -> None:
        most = {f"n{i}": f"h:{i}" for i in range(state_module.VOTERS_MAX)}
        state = ReplicatedState(hashed)
        view = state.view
        assert state.apply_command(c.Bootstrap("c", most)).ok
        assert state.view != view
        for node in most:
            state.apply_command(register(node))
        assert "at most" in state.apply_command(c.AdmitMember("more", "x:1")).reason

    def test_a_registration_that_says_nothing_new_keeps_the_view(self) -> None:
        state = founded("n1", "n2")
        before = state.view
        assert state.apply_command(register("n1")).value == 1
        view = state.view
        assert view is not before
        assert state.apply_command(register("n1")).value == 1
        assert state.view is view
        state.apply_command(register("n2"))
        assert state.apply_command(c.RemoveMember("n1")).ok
        assert [m.id for m in state.view.members] == ["n2"]

    def test_admission(self) -> None:
        state = founded("n1", "n2")
        for n in (1, 2):
            state.apply_command(register(f"n{n}"))
        assert state.apply_command(c.AdmitMember("n3", "h:9")).ok
        assert state.apply_command(c.AdmitMember("n3", "h:9")).ok
        assert not state.apply_command(c.AdmitMember("n3", "h:10")).ok
        state.apply_command(register("n3"))
        refused = state.apply_command(c.AdmitMember("n4", "h:9"))
        assert refused.reason == "another member has the address h:9"
        for n in range(4, state_module.VOTERS_MAX + 1):
            state.apply_command(register(f"n{n - 1}"))
            assert state.apply_command(c.AdmitMember(f"n{n}", f"x:{n}")).ok
        assert not state.apply_command(c.AdmitMember("n99", "x:99")).ok
        assert state_module.members_in(state.voters)[0] == "n1"

    def test_no_change_leaves_those_that_were_up_without_a_majority(self) -> None:
        state = founded("n1", "n2", "n3")
        assert "n1, n2, n3" in state.apply_command(c.AdmitMember("n4", "h:9")).reason
        for n in (1, 2, 3):
            state.apply_command(register(f"n{n}"))
        assert state.apply_command(c.AdmitMember("n4", "h:9")).ok
        assert state.apply_command(c.AdmitMember("n5", "h:10")).ok
        assert not state.apply_command(c.AdmitMember("n6", "h:11")).ok
        refused = state.apply_command(c.RemoveMember("n1"))
        assert not refused.ok
        assert "n4, n5 would leave no majority" in refused.reason
        assert set(state.voters) == {"n1", "n2", "n3", "n4", "n5"}
        assert state.apply_command(c.RemoveMember("n5")).ok, "who was never up may always go"
        state.apply_command(register("n4"))
        assert state.apply_command(c.RemoveMember("n1")).ok

    def test_one_member_may_get_a_second(self) -> None:
        state = founded("n1")
        assert not state.apply_command(c.AdmitMember("n2", "h:9")).ok, "it was never up"
        state.apply_command(register("n1"))
        assert state.apply_command(c.AdmitMember("n2", "h:9")).ok
        assert not state.apply_command(c.AdmitMember("n3", "h:10")).ok
        assert not state.apply_command(c.RemoveMember("n1")).ok
        assert state.apply_command(c.RemoveMember("n2")).ok

    def test_the_last_member_stays(self) -> None:
        state = founded("n1", "n2")
        assert state.apply_command(c.RemoveMember("n1")).ok
        assert not state.apply_command(c.RemoveMember("n1")).ok
        assert not state.apply_command(c.RemoveMember("n2")).ok

    def test_draining_shows_in_the_view(self) -> None:
        state = founded("n1")
        state.apply_command(register("n1"))
        member = Member("n1", "a", "i", draining=True)
        state.apply_command(c.RegisterMember(member, "d"))
        assert state.view.members == (Member("n1", "a", "i", 1, {}, True),)


class TestAttributeLists:
    def test_ids_are_the_hash_and_stable(self) -> None:
        state = founded("n1")
        first = state.apply_command(c.DefineAttributeList(("a", "b")))
        assert first.value == hashed(("a", "b"))
        assert state.apply_command(c.DefineAttributeList(("a", "b"))) == first
        assert state.names_of(first.value) == ("a", "b")
        assert state.id_of(("a", "b")) == first.value
        assert state.id_of(("b", "a")) is None
        assert state.names_of(99) is None

    def test_the_empty_list_is_1(self) -> None:
        state = founded("n1")
        assert state.apply_command(c.DefineAttributeList(())).value == 1
        assert state.names_of(1) == ()

    def test_collisions_take_the_next_free_id_and_wrap(self) -> None:
        top = (1 << 52) - 1
        state = ReplicatedState(lambda names: top)
        ids = [state.apply_command(c.DefineAttributeList((n,))).value for n in "abc"]
        assert ids == [top, 2, 3]
        assert [state.names_of(i) for i in ids] == [("a",), ("b",), ("c",)]


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "SETTINGS_MAX", 1)
    state = founded("n1")
    assert state.apply_command(c.SetSetting("a", "1")).ok
    assert not state.apply_command(c.SetSetting("b", "1")).ok
    assert state.apply_command(c.SetSetting("a", "2")).ok
    assert state.settings == {"a": "2"}
    assert state.apply_command(c.SetSetting("a", None)).ok
    assert state.settings == {}
    refused = state.apply_command(c.SetSetting("a", "1" * SETTING_BYTES_MAX))
    assert refused.reason == "a setting of 1025 bytes; the most is 1024"


class TestStreams:
    def checkpoint(
        self, stream: str, *, epoch: int = 1, table: str = "t", **positions: str
    ) -> c.Command:
        return c.CheckpointStream(epoch, table, stream, positions)

    def primary(self) -> ReplicatedState:
        state = founded("n1", "n2", "n3")
        assert state.apply_command(grant("n1", 0)).ok
        return state

    def test_positions_add_up_until_they_are_dropped(self) -> None:
        state = self.primary()
        assert state.apply_command(self.checkpoint("arn:1", a="1", b="2")).ok
        assert state.apply_command(c.CheckpointStream(1, "t", "arn:1", {"c": "3"}, ("a", "x"))).ok
        assert state.streams == {"t": StreamCheckpoint("arn:1", {"b": "2", "c": "3"})}

    def test_another_stream_replaces_all(self) -> None:
        state = self.primary()
        state.apply_command(self.checkpoint("arn:1", a="1"))
        state.apply_command(self.checkpoint("arn:2", b="2"))
        assert state.streams == {"t": StreamCheckpoint("arn:2", {"b": "2"})}

    def test_only_the_current_epoch_may_write_one(self) -> None:
        state = self.primary()
        state.apply_command(grant("n2", 1))
        assert not state.apply_command(self.checkpoint("arn:1", epoch=1, a="1")).ok
        assert state.streams == {}
        assert state.apply_command(self.checkpoint("arn:1", epoch=2, a="1")).ok

    def test_following_begins_without_a_stream_and_keeps_a_checkpoint(self) -> None:
        state = self.primary()
        assert state.apply_command(c.FollowStream("t", True)).ok
        assert state.streams == {"t": StreamCheckpoint()}
        state.apply_command(self.checkpoint("arn:1", a="1"))
        state.apply_command(c.FollowStream("t", True))
        assert state.streams["t"].positions == {"a": "1"}
        state.apply_command(c.FollowStream("t", False))
        assert state.streams == {}

    def test_limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream_checkpoints, "STREAM_TABLES_MAX", 1)
        monkeypatch.setattr(stream_checkpoints, "STREAM_SHARDS_MAX", 2)
        state = self.primary()
        assert state.apply_command(self.checkpoint("arn:1", a="1", b="1")).ok
        assert not state.apply_command(self.checkpoint("arn:1", c="1")).ok
        assert state.streams["t"].positions == {"a": "1", "b": "1"}
        assert not state.apply_command(self.checkpoint("arn:1", table="u", a="1")).ok
        assert not state.apply_command(c.FollowStream("u", True)).ok
        assert set(state.streams) == {"t"}

    def test_a_snapshot_of_a_release_without_streams_is_read(self) -> None:
        state = self.primary()
        fields = msgpack.unpackb(state.snapshot())
        del fields["streams"]
        state.apply_command(c.FollowStream("t", True))
        state.restore(msgpack.packb(fields))
        assert state.streams == {}
        assert state.lease.holder == "n1"


def test_unknown_commands_are_refused_without_effect() -> None:
    state = founded("n1")
    before = state.snapshot()
    result = state.apply(b"\xc1 nonsense")
    assert not result.ok
    assert "unknown" in result.reason
    assert state.snapshot() == before


_IDS = st.sampled_from(["n1", "n2", "n3"])
_COMMANDS = st.one_of(
    st.builds(
        lambda h, i, s, e: c.Grant(h, i, s, 1.0, ("n1", "n2", "n3"), 1, e),
        _IDS,
        st.sampled_from("ij"),
        st.integers(0, 4),
        st.booleans(),
    ),
    st.builds(c.Release, _IDS, st.sampled_from("ij"), st.integers(0, 4)),
    st.builds(register, _IDS, st.sampled_from("de"), st.sampled_from("ij")),
    st.builds(c.RemoveMember, _IDS),
    st.builds(c.AdmitMember, _IDS, st.sampled_from(["h:1", "h:2", "h:3"])),
    st.builds(c.DefineAttributeList, st.lists(st.sampled_from("ab")).map(tuple)),
    st.builds(c.SetSetting, st.sampled_from("xy"), st.sampled_from([None, "1"])),
    st.builds(c.FollowStream, st.sampled_from("tu"), st.booleans()),
    st.builds(
        c.CheckpointStream,
        st.integers(0, 2),
        st.sampled_from("tu"),
        st.sampled_from(["arn:1", "arn:2"]),
        st.dictionaries(st.sampled_from("ab"), st.sampled_from(["1", "2"])),
        st.lists(st.sampled_from("ab")).map(tuple),
    ),
    st.builds(
        c.PutPrincipal,
        st.sampled_from("pq"),
        st.integers(0, 4),
        st.booleans(),
        st.sampled_from([("K1",), ("K2",), ()]),
        st.sampled_from([None, b"1", b"2"]),
    ),
)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(_COMMANDS, max_size=25), st.integers(0, 25))
def test_a_snapshot_anywhere_changes_nothing(commands: list[c.Command], cut: int) -> None:
    straight, snapshotted = founded("n1", "n2", "n3"), founded("n1", "n2", "n3")
    for command in commands[:cut]:
        straight.apply(c.encode(command))
        snapshotted.apply(c.encode(command))
    restored = ReplicatedState(hashed)
    restored.restore(snapshotted.snapshot())
    for command in commands[cut:]:
        data = c.encode(command)
        assert straight.apply(data) == restored.apply(data)
    assert straight.snapshot() == restored.snapshot()
    assert straight.view == restored.view


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xc1", b"\x81\xa7version\x63"])
def test_a_bad_snapshot_changes_nothing(data: bytes) -> None:
    state = founded("n1")
    before = state.snapshot()
    with pytest.raises(ValueError, match="snapshot"):
        state.restore(data)
    assert state.snapshot() == before


class TestDisks:
    def test_founders_bring_theirs(self) -> None:
        state = ReplicatedState()
        disks = {"n1": "d1", "stranger": "d9"}
        assert state.apply(c.encode(c.Bootstrap("c", {"n1": "h:1"}, disks))).ok
        assert state.disks == {"n1": "d1"}

    def test_a_member_has_one_and_keeps_it(self) -> None:
        state = founded("n1", "n2")
        assert state.apply(c.encode(c.NameDisk("n2", "d2"))).ok
        assert state.apply(c.encode(c.NameDisk("n2", "d2"))).ok
        assert state.apply(c.encode(c.NameDisk("n2", "d3"))).reason == "other-disk"
        assert state.apply(c.encode(c.NameDisk("n9", "d9"))).reason == "not-a-member"
        assert state.disks["n2"] == "d2"
        assert state.apply(c.encode(c.RemoveMember("n2"))).ok
        assert "n2" not in state.disks

    def test_what_was_asked_for_the_disk_before_comes_too_late(self) -> None:
        """Of a member that was removed, emptied and admitted again meanwhile: its new disk would be
        refused for good."""
        state = founded("n1", "n2")
        assert state.apply_command(register("n1", disk="d1")).ok
        assert state.apply(c.encode(c.NameDisk("n2", "old"))).ok
        assert state.apply(c.encode(c.RemoveMember("n2"))).ok
        assert state.apply(c.encode(c.AdmitMember("n2", "h:77"))).ok
        assert state.apply(c.encode(c.NameDisk("n2", "old"))).reason == "former-log"
        late = c.RegisterMember(Member("n2", "a", "i"), "old")
        assert state.apply(c.encode(late)).reason == "former-log"
        assert state.apply(c.encode(c.NameDisk("n2", "new"))).ok
        assert state.disks["n2"] == "new"

    def test_a_disk_is_named_by_the_admission_by_which_it_comes(self) -> None:
        state = founded("n1", "n2")
        assert state.apply_command(register("n1", disk="d1")).ok
        for number in (1, 2):
            assert state.apply(c.encode(c.RemoveMember("n2"))).ok
            assert "n2" not in state.admissions
            assert state.apply(c.encode(c.AdmitMember("n2", "h:77"))).ok
            assert state.apply(c.encode(c.AdmitMember("n2", "h:77"))).ok, "it is one already"
            assert state.admissions == {"n2": number}
        assert state.apply(c.encode(c.NameDisk("n2", "old", 1))).reason == "another-admission"
        assert state.apply(c.encode(c.NameDisk("n2", "old", 0))).reason == "another-admission"
        restored = ReplicatedState(hashed)
        restored.restore(state.snapshot())
        for one in (state, restored):
            assert one.apply(c.encode(c.NameDisk("n2", "old", 1))).reason == "another-admission"
            assert one.apply(c.encode(c.NameDisk("n2", "new", 2))).ok
            assert one.disks["n2"] == "new"
            assert one.apply(c.encode(c.RemoveMember("n2"))).ok
            assert one.apply(c.encode(c.AdmitMember("n2", "h:77"))).ok
            assert one.admissions == {"n2": 3}, "numbers do not come again"

    def test_a_snapshot_of_a_release_without_numbers_of_admissions_is_read(self) -> None:
        state = founded("n1", "n2")
        assert all(state.apply_command(register(node, disk=node)).ok for node in ("n1", "n2"))
        assert state.apply(c.encode(c.AdmitMember("n3", "h:77"))).ok
        fields = msgpack.unpackb(state.snapshot())
        del fields["admissions"]
        former = ReplicatedState(hashed)
        former.restore(msgpack.packb(fields))
        assert former.admission_of("n3") == 0
        assert former.apply(c.encode(c.NameDisk("n3", "d3", 0))).ok

    def test_the_latest_former_disks_are_remembered(self) -> None:
        state = founded("n1", "n2")
        assert state.apply_command(register("n1", disk="d1")).ok
        for n in range(FORMER_DISKS_MAX + 1):
            assert state.apply(c.encode(c.NameDisk("n2", f"d{n}"))).ok
            assert state.apply(c.encode(c.RemoveMember("n2"))).ok
            assert state.apply(c.encode(c.AdmitMember("n2", "h:77"))).ok
        assert state.former_disks == tuple(f"d{n}" for n in range(1, FORMER_DISKS_MAX + 1))

    def test_a_snapshot_has_them(self) -> None:
        state = founded("n1", "n2")
        state.apply(c.encode(c.NameDisk("n1", "d1")))
        state.apply(c.encode(c.RemoveMember("n1")))
        state.apply(c.encode(c.NameDisk("n2", "d2")))
        other = ReplicatedState()
        other.restore(state.snapshot())
        assert other.disks == state.disks
        assert other.former_disks == ("d1",)
        assert other.snapshot() == state.snapshot()

    def test_who_is_left_goes_on_alone(self) -> None:
        state = founded("n1", "n2", "n3")
        state.apply(c.encode(c.NameDisk("n1", "d1")))
        state.apply(c.encode(c.NameDisk("n2", "d2")))
        address = state.voters["n1"]
        assert state.apply(c.encode(c.Recover("n9", "d9"))).reason == "not-a-member"
        assert state.apply(c.encode(c.Recover("n1", "new"))).ok
        assert state.voters == {"n1": address}
        assert state.disks == {"n1": "new"}
        assert state.founders == {"n1": "new"}, "others founded another log"
        assert state.former_disks == ("d1", "d2")
        assert {member.id for member in state.view.members} <= {"n1"}
        assert state.apply(c.encode(c.RegisterMember(Member("n2", "a", "i"), "d2"))).reason

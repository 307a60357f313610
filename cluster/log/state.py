"""The state that the replicated log builds up: lease record, members, attribute lists,
settings, streams, sealed principals, records of the control plane.

Deterministic: the same commands in the same order give the same state, results and snapshot
bytes on every node. ``apply`` never raises; what cannot be done is refused with a reason. Never
holds item data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgpack

from cluster.log import commands as c
from cluster.log.control_records import ControlRecords
from cluster.log.known_lists import KnownLists
from cluster.log.sealed_principals import SealedPrincipals
from cluster.log.stream_checkpoints import StreamCheckpoint, checkpoint, fields_of, follow
from cluster.log.view import ClusterView, Member
from paceline.dax import attribute_lists

SNAPSHOT_VERSION = 2

VOTERS_MAX = 11
"""The largest cluster. Raft's cost per command and the fences' majorities grow with it."""

EPOCHS_MAX = 32
"""Epochs whose members are kept: a takeover looks back to the last epoch of which any node
has a message, which is one or two ago. What is older makes it start over."""

FORMER_DISKS_MAX = 100
"""Disks of removed members that are remembered, the latest ones. What was asked for one of them may
still be under way, for seconds, when its node is admitted again."""

SETTINGS_MAX = 1_000
"""The most cluster settings. Parameter groups are a few dozen names."""

SETTING_BYTES_MAX = 1024
"""Of a setting's name and value together: numbers and words."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command did. ``value``: the id of a defined attribute list, a member's number, or
    the lease record's new sequence. ``reason``: why it was refused."""

    ok: bool
    value: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The last grant. ``seq`` grows with every grant and release; ``epoch`` when one begins.

    ``holder`` is None before the first grant and after a release.
    """

    seq: int = 0
    epoch: int = 0
    holder: str | None = None
    incarnation: str = ""
    duration_s: float = 0.0
    members: tuple[str, ...] = ()


def _refused(reason: str) -> CommandResult:
    return CommandResult(False, 0, reason)


class ReplicatedState:
    """See the module. ``list_id`` gives the preferred id of an attribute list (>= 2)."""

    def __init__(self, list_id: Callable[[Sequence[str]], int] = attribute_lists.list_id) -> None:
        self.cluster_id = ""
        self.lease = LeaseRecord()
        self.epoch_members: dict[int, tuple[str, ...]] = {}
        """Epoch to its members, for the last epochs in order, that of ``lease`` included."""
        self.voters: dict[str, str] = {}
        """Node id to consensus address of every member that counts, registered or not."""
        self.disks: dict[str, str] = {}
        """Node id to the name of its disk: of every member that has shown one."""
        self.founders: dict[str, str] = {}
        """Node id to the name of its disk: of those that founded the log, members or not."""
        self.admissions: dict[str, int] = {}
        """Node id to the number of its admission, of every member that was admitted."""
        self.former_disks: tuple[str, ...] = ()
        """Disks of members that were removed, or lost with a majority; the latest one last."""
        self.settings: dict[str, str] = {}
        self.streams: dict[str, StreamCheckpoint] = {}
        """Followed streams by table; those that settings name may be missing."""
        self.principals = SealedPrincipals({})
        self.control = ControlRecords({})
        self._members: dict[str, Member] = {}
        self._next_number = 1
        self._admitted = 0
        self._lists = KnownLists(list_id)
        self._view: ClusterView | None = None

    @property
    def rights_revision(self) -> int:
        """Grows with each change of who may do what."""
        return self.principals.revision

    def apply(self, data: bytes) -> CommandResult:
        return self.apply_command(c.decode(data))

    def apply_command(self, command: c.Command) -> CommandResult:
        match command:
            case c.Grant():
                return self._grant(command)
            case c.Release():
                return self._release(command)
            case c.Bootstrap():
                return self._bootstrap(command)
            case c.NameDisk():
                return self._name_disk(command)
            case c.Recover():
                return self._recover(command)
            case c.RegisterMember():
                return self._register(command)
            case c.AdmitMember():
                return self._admit(command)
            case c.RemoveMember():
                return self._remove(command)
            case c.DefineAttributeList():
                return self._define(command)
            case c.SetSetting():
                return self._set(command)
            case c.FollowStream():
                return self._follow_stream(command)
            case c.CheckpointStream():
                return self._checkpoint_stream(command)
            case c.PutPrincipal():
                return self._put_principal(command)
            case c.ChangeControl():
                return self._change_control(command)
            case c.Unknown():
                return _refused(f"unknown command: {command.reason}")

    @property
    def view(self) -> ClusterView:
        """The same object until something in it changes; renewals do not."""
        if self._view is None:
            self._view = ClusterView(
                cluster_id=self.cluster_id,
                members=tuple(sorted(self._members.values(), key=lambda m: m.number)),
                epoch=self.lease.epoch,
                primary=self.lease.holder,
                epoch_members=self.lease.members,
            )
        return self._view

    def names_of(self, list_id: int) -> tuple[str, ...] | None:
        return self._lists.names_of(list_id)

    def id_of(self, names: tuple[str, ...]) -> int | None:
        return self._lists.id_of(names)

    def admission_of(self, node_id: str) -> int:
        """0: a founder's, or that of a release which did not number them."""
        return self.admissions.get(node_id, 0)

    # Lease

    def _grant(self, grant: c.Grant) -> CommandResult:
        record = self.lease
        if grant.expected_seq != record.seq:
            return _refused(f"the lease is at {record.seq}, not {grant.expected_seq}")
        if grant.holder not in self.voters:
            return _refused(f"{grant.holder} is not a member")
        same = (grant.holder, grant.incarnation) == (record.holder, record.incarnation)
        begins = grant.new_epoch or not same
        if begins and grant.holder not in grant.members:
            return _refused(f"{grant.holder} is not among the members of its own epoch")
        self.lease = LeaseRecord(
            seq=record.seq + 1,
            epoch=record.epoch + 1 if begins else record.epoch,
            holder=grant.holder,
            incarnation=grant.incarnation,
            duration_s=grant.duration_s,
            members=grant.members if begins else record.members,
        )
        if begins:
            self._view = None
            self.epoch_members[self.lease.epoch] = self.lease.members
            if len(self.epoch_members) > EPOCHS_MAX:
                del self.epoch_members[min(self.epoch_members)]
        return CommandResult(True, self.lease.seq)

    def _release(self, release: c.Release) -> CommandResult:
        record = self.lease
        if release.expected_seq != record.seq:
            return _refused(f"the lease is at {record.seq}, not {release.expected_seq}")
        if (release.holder, release.incarnation) != (record.holder, record.incarnation):
            return _refused(f"{release.holder} does not hold the lease")
        self.lease = replace(record, seq=record.seq + 1, holder=None, incarnation="")
        self._view = None
        return CommandResult(True, self.lease.seq)

    # Members

    def _bootstrap(self, bootstrap: c.Bootstrap) -> CommandResult:
        if self.cluster_id:
            return _refused("the cluster exists already")
        if not bootstrap.cluster_id or not 1 <= len(bootstrap.voters) <= VOTERS_MAX:
            return _refused(f"a cluster has a name and 1 to {VOTERS_MAX} members")
        self.cluster_id = bootstrap.cluster_id
        self.voters = dict(bootstrap.voters)
        self.founders = dict(bootstrap.disks)
        self.disks = {node: disk for node, disk in bootstrap.disks.items() if node in self.voters}
        self._view = None
        return CommandResult(True)

    def _admit(self, admit: c.AdmitMember) -> CommandResult:
        known = self.voters.get(admit.id)
        if known == admit.address:
            return CommandResult(True)
        if known is not None:
            return _refused(f"{admit.id} is a member at {known}; remove it first")
        if admit.address in self.voters.values():
            return _refused(f"another member has the address {admit.address}")
        if len(self.voters) >= VOTERS_MAX:
            return _refused(f"a cluster has at most {VOTERS_MAX} members")
        after = {**self.voters, admit.id: admit.address}
        if not self._can_decide(after) and not (len(after) == 2 and self._members):
            return _refused(self._missing(after))
        self.voters = after
        self._admitted += 1
        self.admissions[admit.id] = self._admitted
        return CommandResult(True)

    def _can_decide(self, voters: Mapping[str, str]) -> bool:
        """Whether a majority of ``voters`` was ever up. Fences count over all of them, so with
        fewer nothing could be written. One member may get a second, though (both as etcd's
        ``strict-reconfig-check``)."""
        return 2 * sum(node in self._members for node in voters) > len(voters)

    def _missing(self, voters: Mapping[str, str]) -> str:
        absent = ", ".join(sorted(voters.keys() - self._members.keys()))
        return f"{absent} would leave no majority of members that were ever up; start them first"

    def _name_disk(self, command: c.NameDisk) -> CommandResult:
        if command.id not in self.voters:
            return _refused("not-a-member")
        if command.disk_id in self.former_disks:
            return _refused("former-log")
        if command.admission not in (None, self.admission_of(command.id)):
            return _refused("another-admission")
        known = self.disks.setdefault(command.id, command.disk_id)
        return CommandResult(True) if known == command.disk_id else _refused("other-disk")

    def _register(self, register: c.RegisterMember) -> CommandResult:
        member = register.member
        if member.id not in self.voters:
            return _refused("not-a-member")
        if register.disk_id in self.former_disks:
            return _refused("former-log")
        if self.disks.setdefault(member.id, register.disk_id) != register.disk_id:
            return _refused("other-disk")
        before = self._members.get(member.id)
        number = before.number if before is not None else self._next_number
        after = replace(member, number=number)
        if before is None:
            self._next_number += 1
        if before != after:
            self._members[member.id] = after
            self._view = None
        return CommandResult(True, number)

    def _remove(self, remove: c.RemoveMember) -> CommandResult:
        if remove.id not in self.voters:
            return _refused("not-a-member")
        if len(self.voters) == 1:
            return _refused("the last member cannot be removed")
        after = {node: at for node, at in self.voters.items() if node != remove.id}
        if remove.id in self._members and not self._can_decide(after):
            return _refused(self._missing(after))
        self.voters = after
        self._members.pop(remove.id, None)
        self.admissions.pop(remove.id, None)
        self._forget_disks({remove.id})
        self._view = None
        return CommandResult(True)

    def _forget_disks(self, nodes: Collection[str]) -> None:
        former = [disk for node, disk in sorted(self.disks.items()) if node in nodes]
        self.disks = {node: disk for node, disk in self.disks.items() if node not in nodes}
        self.former_disks = (*self.former_disks, *former)[-FORMER_DISKS_MAX:]

    def _recover(self, recover: c.Recover) -> CommandResult:
        address = self.voters.get(recover.survivor)
        if address is None:
            return _refused("not-a-member")
        member = self._members.get(recover.survivor)
        self.voters = {recover.survivor: address}
        self.admissions.clear()
        self._forget_disks(set(self.disks))
        self.disks = {recover.survivor: recover.disk_id}
        self.founders = dict(self.disks)
        self._members = {} if member is None else {recover.survivor: member}
        self._view = None
        return CommandResult(True)

    # Attribute lists and settings

    def _define(self, define: c.DefineAttributeList) -> CommandResult:
        list_id, refused = self._lists.define(define.names)
        return _refused(refused) if refused else CommandResult(True, list_id)

    def _set(self, setting: c.SetSetting) -> CommandResult:
        if setting.value is None:
            self.settings.pop(setting.name, None)
        elif setting.name not in self.settings and len(self.settings) >= SETTINGS_MAX:
            return _refused(f"the cluster has {SETTINGS_MAX} settings already")
        elif (size := len(f"{setting.name}{setting.value}".encode())) > SETTING_BYTES_MAX:
            return _refused(f"a setting of {size} bytes; the most is {SETTING_BYTES_MAX}")
        else:
            self.settings[setting.name] = setting.value
        return CommandResult(True)

    # Streams

    def _follow_stream(self, command: c.FollowStream) -> CommandResult:
        refused = follow(self.streams, command)
        return CommandResult(True) if refused is None else _refused(refused)

    def _checkpoint_stream(self, command: c.CheckpointStream) -> CommandResult:
        if command.epoch != self.lease.epoch:
            return _refused(f"the epoch is {self.lease.epoch}, not {command.epoch}")
        refused = checkpoint(self.streams, command)
        return CommandResult(True) if refused is None else _refused(refused)

    # Principals

    def _put_principal(self, command: c.PutPrincipal) -> CommandResult:
        revision, refused = self.principals.put(command)
        return _refused(refused) if refused else CommandResult(True, revision)

    # The control plane

    def _change_control(self, command: c.ChangeControl) -> CommandResult:
        revision, refused = self.control.change(command)
        return _refused(refused) if refused else CommandResult(True, revision)

    # Snapshots

    def snapshot(self) -> bytes:
        lease = self.lease
        data: bytes = msgpack.packb(
            {
                "version": SNAPSHOT_VERSION,
                "cluster_id": self.cluster_id,
                "lease": [
                    lease.seq,
                    lease.epoch,
                    lease.holder,
                    lease.incarnation,
                    lease.duration_s,
                    list(lease.members),
                ],
                "epoch_members": [[e, list(m)] for e, m in sorted(self.epoch_members.items())],
                "voters": sorted(self.voters.items()),
                "disks": sorted(self.disks.items()),
                "founders": sorted(self.founders.items()),
                "former_disks": list(self.former_disks),
                "admissions": [self._admitted, sorted(self.admissions.items())],
                "members": [
                    c.member_fields(m)
                    for m in sorted(self._members.values(), key=lambda m: m.number)
                ],
                "next_number": self._next_number,
                "attribute_lists": self._lists.fields(),
                "settings": sorted(self.settings.items()),
                "streams": [
                    fields_of(table, known) for table, known in sorted(self.streams.items())
                ],
                "principals": self.principals.fields(),
                "control": self.control.fields(),
            }
        )
        return data

    def restore(self, data: bytes) -> None:
        """Replaces everything by a snapshot; ValueError for bytes that are none, changing
        nothing. A snapshot is local or from an authenticated peer, never from a client."""
        try:
            fields: dict[str, Any] = msgpack.unpackb(data)
            if fields["version"] != SNAPSHOT_VERSION:
                raise ValueError(f"snapshot version {fields['version']!r}")
            seq, epoch, holder, incarnation, duration_s, epoch_members = fields["lease"]
            lease = LeaseRecord(seq, epoch, holder, incarnation, duration_s, tuple(epoch_members))
            epoch_members_of = {e: tuple(m) for e, m in fields["epoch_members"]}
            members = {}
            for member_fields in fields["members"]:
                member = c.member_from(member_fields)
                members[member.id] = member
            disks, founders = dict(fields["disks"]), dict(fields["founders"])
            # Snapshots of releases that forgot removed disks at once have none.
            former_disks = tuple(fields.get("former_disks", ()))
            # Nor had admissions numbers.
            admitted, admissions = fields.get("admissions", (0, ()))
            admissions = dict(admissions)
            lists = {list_id: tuple(names) for list_id, names in fields["attribute_lists"]}
            voters = dict(fields["voters"])
            settings = dict(fields["settings"])
            # Snapshots of releases that followed no streams have none.
            streams = {
                table: StreamCheckpoint(stream, dict(positions))
                for table, stream, positions in fields.get("streams", ())
            }
            principals = SealedPrincipals.from_fields(fields.get("principals"))
            control = ControlRecords.from_fields(fields.get("control"))
            cluster_id, next_number = fields["cluster_id"], fields["next_number"]
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            raise ValueError(f"not a snapshot of the replicated state: {error!r}") from error
        self.cluster_id = cluster_id
        self.lease = lease
        self.epoch_members = epoch_members_of
        self.voters = voters
        self.settings = settings
        self.streams = streams
        self.principals = principals
        self.control = control
        self._members = members
        self.disks = disks
        self.founders = founders
        self.former_disks = former_disks
        self.admissions, self._admitted = admissions, admitted
        self._next_number = next_number
        self._lists.restore(lists)
        self._view = None


def members_in(voters: Mapping[str, str]) -> tuple[str, ...]:
    """The member set that an epoch which begins now would count its majorities over."""
    return tuple(sorted(voters))

"""Commands of the replicated log and their bytes.

Encoding: msgpack of ``[version, kind, fields]`` with ``fields`` in the order of the dataclass.
A node may meet commands of a newer release in the log; ``decode`` then gives ``Unknown``, which
every node refuses alike. Decoding never raises: an apply that raises would stop the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from cluster.log.view import Member

VERSION = 1

COMMAND_BYTES_MAX = 1024 * 1024
"""An attribute list is the largest command; DynamoDB's items, names included, end at 400 KiB."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """First command of a cluster; a second one is refused. ``voters``: id to consensus address.
    ``disks``: id to the name of the disk that founded the log."""

    cluster_id: str
    voters: Mapping[str, str]
    disks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """The primary lease for ``holder``, if the lease record is still at ``expected_seq``.

    ``members`` counts only when the grant begins an epoch. ``proposal_id`` tells the proposer's
    own proposals apart; it means nothing to others.
    """

    holder: str
    incarnation: str
    expected_seq: int
    duration_s: float
    members: tuple[str, ...]
    proposal_id: int
    new_epoch: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """The holder gives its lease back; it stopped believing in it before it proposed this."""

    holder: str
    incarnation: str
    expected_seq: int


@dataclass(frozen=True, slots=True)
class AdmitMember:
    """``id`` may register from now on and counts in majorities of the next epoch."""

    id: str
    address: str


@dataclass(frozen=True, slots=True)
class NameDisk:
    """The disk on which a member that was admitted will keep its log. From then on no other one
    is accepted of it. ``admission``: the number of that by which it comes; None from a release
    that had no such number."""

    id: str
    disk_id: str
    admission: int | None = None


@dataclass(frozen=True, slots=True)
class Recover:
    """After a majority was lost for good, what an operator put at the end of the log of a member
    that was left: ``survivor`` goes on alone, its disk as ``disk_id``."""

    survivor: str
    disk_id: str


@dataclass(frozen=True, slots=True)
class RegisterMember:
    """A node that started. ``disk_id`` is that of its data directory."""

    member: Member
    disk_id: str


@dataclass(frozen=True, slots=True)
class RemoveMember:
    id: str


@dataclass(frozen=True, slots=True)
class DefineAttributeList:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetSetting:
    """A cluster setting; ``value`` None removes it."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class FollowStream:
    """The DynamoDB Stream of ``table``, which some node uses, shall be followed, or no longer."""

    table: str
    follow: bool


@dataclass(frozen=True, slots=True)
class CheckpointStream:
    """How far the primary of ``epoch`` has brought the shards of ``table``'s stream to all nodes.

    ``positions``: shard id to what the table's reader needs to go on there; ``dropped``: shards
    that are over. They add to what is known of the same ``stream`` and replace that of another.
    """

    epoch: int
    table: str
    stream: str
    positions: Mapping[str, str]
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PutPrincipal:
    """A principal, sealed; ``sealed`` None removes it. ``key_ids``: of its access keys.

    ``expected``: the principal's revision that the proposer has seen; if it ``creates`` one, the
    latest revision of any. So a command that comes late and twice undoes nothing that was done
    meanwhile, least of all a removal.
    """

    name: str
    expected: int
    creates: bool
    key_ids: tuple[str, ...]
    sealed: bytes | None


@dataclass(frozen=True, slots=True)
class ChangeControl:
    """Records and events of the control plane: all of it, or nothing. A record None removes it.

    ``token``: of this change alone, so that it is the same one when it comes twice. ``expected``:
    the revision that the proposer has seen, on which it has decided.
    """

    token: str
    expected: int
    changes: Mapping[str, bytes | None]
    events: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes that this release cannot read."""

    reason: str


Command = (
    Bootstrap
    | Grant
    | Release
    | AdmitMember
    | NameDisk
    | Recover
    | RegisterMember
    | RemoveMember
    | DefineAttributeList
    | SetSetting
    | FollowStream
    | CheckpointStream
    | PutPrincipal
    | ChangeControl
    | Unknown
)


def encode(command: Command) -> bytes:
    """ValueError for ``Unknown`` and for commands beyond ``COMMAND_BYTES_MAX``."""
    kind, fields = _to_fields(command)
    data: bytes = msgpack.packb([VERSION, kind, fields])
    if len(data) > COMMAND_BYTES_MAX:
        raise ValueError(f"a command of {len(data)} bytes; the most is {COMMAND_BYTES_MAX}")
    return data


def decode(data: bytes) -> Command:
    try:
        version, kind, fields = msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        return Unknown(f"not a command: {error}")
    build = _BUILDERS.get(kind) if isinstance(kind, str) else None
    if version != VERSION or build is None:
        return Unknown(f"kind {kind!r} of version {version!r}")
    try:
        return build(fields)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        return Unknown(f"malformed {kind}: {error}")


def member_fields(member: Member) -> list[Any]:
    return [
        member.id,
        member.zone,
        member.incarnation,
        member.number,
        dict(sorted(member.addresses.items())),
        member.draining,
    ]


def member_from(fields: Sequence[Any]) -> Member:
    id_, zone, incarnation, number, addresses, draining = fields
    return Member(
        id=_text(id_),
        zone=_text(zone),
        incarnation=_text(incarnation),
        number=_int(number),
        addresses=_text_map(addresses),
        draining=bool(draining),
    )


def _to_fields(command: Command) -> tuple[str, list[Any]]:
    match command:
        case Bootstrap():
            voters, disks = sorted(command.voters.items()), sorted(command.disks.items())
            return "bootstrap", [command.cluster_id, dict(voters), dict(disks)]
        case Grant():
            return "grant", [
                command.holder,
                command.incarnation,
                command.expected_seq,
                command.duration_s,
                list(command.members),
                command.proposal_id,
                command.new_epoch,
            ]
        case Release():
            return "release", [command.holder, command.incarnation, command.expected_seq]
        case AdmitMember():
            return "admit", [command.id, command.address]
        case NameDisk():
            return "disk", [command.id, command.disk_id, command.admission]
        case Recover():
            return "recover", [command.survivor, command.disk_id]
        case RegisterMember():
            return "register", [member_fields(command.member), command.disk_id]
        case RemoveMember():
            return "remove", [command.id]
        case DefineAttributeList():
            return "attribute-list", [list(command.names)]
        case SetSetting():
            return "setting", [command.name, command.value]
        case FollowStream():
            return "follow-stream", [command.table, command.follow]
        case CheckpointStream():
            return "checkpoint-stream", [
                command.epoch,
                command.table,
                command.stream,
                dict(sorted(command.positions.items())),
                list(command.dropped),
            ]
        case PutPrincipal():
            return "principal", [
                command.name,
                command.expected,
                command.creates,
                list(command.key_ids),
                command.sealed,
            ]
        case ChangeControl():
            changes = dict(sorted(command.changes.items()))
            return "control", [command.token, command.expected, changes, list(command.events)]
        case Unknown():
            raise ValueError(f"cannot encode an unknown command: {command.reason}")


def _grant(fields: Sequence[Any]) -> Grant:
    holder, incarnation, expected_seq, duration_s, members, proposal_id, new_epoch = fields
    duration = float(duration_s)
    if not 0 < duration < float("inf"):
        raise ValueError(f"a lease of {duration} seconds")
    return Grant(
        _text(holder),
        _text(incarnation),
        _int(expected_seq),
        duration,
        _texts(members),
        _int(proposal_id),
        bool(new_epoch),
    )


def _disk(fields: Sequence[Any]) -> NameDisk:
    node_id, disk_id, *more = fields
    admission = more[0] if more else None
    return NameDisk(_text(node_id), _text(disk_id), None if admission is None else _int(admission))


def _release(fields: Sequence[Any]) -> Release:
    holder, incarnation, expected_seq = fields
    return Release(_text(holder), _text(incarnation), _int(expected_seq))


def _setting(fields: Sequence[Any]) -> SetSetting:
    name, value = fields
    return SetSetting(_text(name), None if value is None else _text(value))


def _checkpoint_stream(fields: Sequence[Any]) -> CheckpointStream:
    epoch, table, stream, positions, dropped = fields
    return CheckpointStream(
        _int(epoch), _text(table), _text(stream), _text_map(positions), _texts(dropped)
    )


def _put_principal(fields: Sequence[Any]) -> PutPrincipal:
    name, expected, creates, key_ids, sealed = fields
    if sealed is not None and not isinstance(sealed, bytes):
        raise ValueError(f"bytes expected, not {type(sealed).__name__}")
    return PutPrincipal(_text(name), _int(expected), bool(creates), _texts(key_ids), sealed)


def _change_control(fields: Sequence[Any]) -> ChangeControl:
    token, expected, changes, events = fields
    if not isinstance(changes, dict) or not isinstance(events, list):
        raise ValueError("a map and a list expected")
    if not all(isinstance(one, bytes) for one in (*filter(None, changes.values()), *events)):
        raise ValueError("bytes expected")
    return ChangeControl(
        _text(token),
        _int(expected),
        {_text(name): record for name, record in changes.items()},
        tuple(events),
    )


_BUILDERS: dict[str, Callable[[Sequence[Any]], Command]] = {
    "bootstrap": lambda f: Bootstrap(_text(f[0]), _text_map(f[1]), _text_map(f[2])),
    "grant": _grant,
    "release": _release,
    "admit": lambda f: AdmitMember(_text(f[0]), _text(f[1])),
    "recover": lambda f: Recover(_text(f[0]), _text(f[1])),
    "disk": _disk,
    "register": lambda f: RegisterMember(member_from(f[0]), _text(f[1])),
    "remove": lambda f: RemoveMember(_text(f[0])),
    "attribute-list": lambda f: DefineAttributeList(_texts(f[0])),
    "setting": _setting,
    "follow-stream": lambda f: FollowStream(_text(f[0]), bool(f[1])),
    "checkpoint-stream": _checkpoint_stream,
    "principal": _put_principal,
    "control": _change_control,
}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"text expected, not {type(value).__name__}")
    return value


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"an integer expected, not {type(value).__name__}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"a list expected, not {type(value).__name__}")
    return tuple(_text(entry) for entry in value)


def _text_map(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"a map expected, not {type(value).__name__}")
    return {_text(key): _text(entry) for key, entry in value.items()}

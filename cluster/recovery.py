"""Going on with one member after a majority was lost for good.

The replicated log decides by majorities; of three members whose disks are lost for two, nothing is
ever decided again. An operator may then make the last one the only voter. What a majority had
decided and this one had not heard of is forgotten: grants of the primary lease above all, which is
why the others have to be off, and stay off. No item is lost, since items are in DynamoDB; what was
cached is unknown for a quarantine, since those that could tell of open writes are gone.

The survivor's disk gets another name. So those that were lost, should one of them come back, are
strangers to it, and it is one to them.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cluster.consensus.core.configuration import Configuration
from cluster.consensus.core.log import Log
from cluster.consensus.core.messages import Append, Durable, Entry, HardState, Kind
from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.opening import Opened, open_disk
from cluster.consensus.named_peers import states
from cluster.data_dir import DataDir, read_identity
from cluster.log import commands as c
from cluster.log.state import ReplicatedState
from paceline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Recovered:
    """``last_index``: of what the survivor had. ``mending``: its disk had lost entries itself."""

    survivor: str
    lost: tuple[str, ...]
    last_index: int
    mending: bool


def recover(path: Path, lost: Collection[str]) -> Recovered:
    """Makes the node of this data directory the only member of its log. ``lost`` has to name all
    others. ConfigError if it does not, if the node runs, or if there is no log."""
    identity = read_identity(path)
    data_dir = DataDir.open(path, identity.node_id, identity.cluster)
    try:
        opened = open_disk(OsDirectory(path), identity.disk_id, None)
        try:
            return recover_opened(data_dir, opened, frozenset(lost))
        finally:
            opened.disk.close()
    finally:
        data_dir.close()


def recover_opened(data_dir: DataDir, opened: Opened, lost: frozenset[str]) -> Recovered:
    """As ``recover``, of a directory whose log is open, and stays so."""
    durable, survivor = opened.durable, data_dir.identity.node_id
    log = Log(durable.snapshot, durable.entries)
    last = log.last
    state, nodes = _replayed(durable)
    disk = state.disks.get(survivor)
    others = frozenset(state.voters) - {survivor}
    if not others and disk not in (None, data_dir.identity.disk_id):
        # It was interrupted in between. Without a vote, the node cannot have gone on since.
        data_dir.rename(disk)
        return Recovered(survivor, tuple(sorted(lost)), last, durable.hard.mending)
    # A removal that was asked for in vain is in the log, too: whoever can vote is to be named.
    others |= {nodes.get(name, name) for name in log.configuration.voters} - {survivor}
    if lost != others:
        raise ConfigError(
            f"the log of {survivor} has {_named(others)} as other members, and not "
            f"{_named(lost)}: name all of them, and none else. Those that still run can be removed "
            "without this, as long as they are a majority"
        )
    if not others:
        raise ConfigError(f"{survivor} is the only member of its log already: just start it")
    disk = secrets.token_hex(16)
    term = durable.hard.term + 1
    configuration = Configuration((disk,)).encode()
    command = c.encode(c.Recover(survivor, disk))
    entries = (
        Entry(last + 1, term, Kind.CONFIGURATION, configuration),
        Entry(last + 2, term, Kind.COMMAND, command),
    )
    opened.disk.write([HardState(term), Append(entries)])
    # Interrupted here, the node has no vote, and the rest is done the next time.
    data_dir.rename(disk)
    return Recovered(survivor, tuple(sorted(lost)), last, durable.hard.mending)


def _replayed(durable: Durable) -> tuple[ReplicatedState, dict[str, str]]:
    """The state as if all that is in the log had been decided: what was not was never refused
    either. And the nodes of all disks that were ever named, by those names."""
    nodes: dict[str, str] = {}
    for state in states(durable.snapshot.data, durable.entries):
        named = (*state.founders.items(), *state.disks.items())
        nodes |= {disk: node for node, disk in named}
    return state, nodes


def _named(nodes: Collection[str]) -> str:
    return ", ".join(sorted(nodes)) or "nobody"

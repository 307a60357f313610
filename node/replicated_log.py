"""This node's part in the replicated log, as the settings have it."""

from __future__ import annotations

import asyncio
import random

from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.thread import DiskThread
from cluster.consensus.environment import NoLinks
from cluster.consensus.founding import Disks
from cluster.consensus.member import Member
from cluster.consensus.participant import TIMES, Participant
from cluster.data_dir import DataDir
from cluster.log.state import ReplicatedState
from cluster.settings import NodeSettings
from node.admin.addresses import clustered
from node.members_port import MembersPort


def participant(
    settings: NodeSettings, members: MembersPort | None, data_dir: DataDir, machine: ReplicatedState
) -> Participant:
    """Makes the only voter of a log of its own, which nobody can reach, for a node without
    configured peers."""
    identity = data_dir.identity
    disk = DiskThread(OsDirectory(data_dir.path), identity.disk_id)
    node_id, jitter = settings.node_id, random.random
    if members is None or not clustered(settings):
        return Participant(node_id, identity.disk_id, machine, disk, NoLinks(), jitter, TIMES)

    async def keep(disks: Disks) -> None:
        await asyncio.to_thread(data_dir.promise, disks)

    return Member(
        node_id=node_id,
        name=identity.disk_id,
        promised=identity.promised,
        keep=keep,
        peers=settings.peers,
        cluster=settings.cluster,
        server=members.server,
        channels=members.channels,
        disk=disk,
        machine=machine,
        jitter=jitter,
    )

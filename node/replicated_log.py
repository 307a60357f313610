"""This node's part in the replicated log, as the settings have it."""

from __future__ import annotations

import random

from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.thread import DiskThread
from cluster.consensus.environment import NoLinks
from cluster.consensus.member import Member
from cluster.consensus.participant import TIMES, Participant
from cluster.data_dir import DataDir
from cluster.log.state import ReplicatedState
from cluster.settings import NodeSettings
from node.admin.addresses import clustered


def participant(
    settings: NodeSettings, secret: str, data_dir: DataDir, machine: ReplicatedState
) -> Participant:
    """Makes the only voter of a log of its own, which nobody can reach, for a node without
    configured peers."""
    disk = DiskThread(OsDirectory(data_dir.path), settings.founders[settings.node_id])
    known = data_dir.identity.joined
    jitter = random.random
    if clustered(settings):
        return Member(
            node_id=settings.node_id,
            peers=settings.peers,
            bind=settings.consensus_bind,
            secret=secret,
            cluster=settings.cluster,
            disk=disk,
            machine=machine,
            known=known,
            jitter=jitter,
            dial_map=settings.dial_map,
        )
    return Participant(
        settings.node_id, settings.founders, machine, disk, NoLinks(), jitter, TIMES, known=known
    )

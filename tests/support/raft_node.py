"""One member of a cluster that holds nothing but the primary lease; says on stdout what happens.

Argument: JSON with ``node_id``, ``peers`` (id to address), ``data_dir`` and ``lease`` (fields of
LeaseSettings). Each line of output: JSON with ``at`` (``paceline.clock``), ``event`` and more.
Lines of input: ``release``, ``resume``, ``remove ID``, ``exhaust`` (takes all
file descriptors), ``free``, ``stop``; the end of input stops it too.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import secrets
import sys
from pathlib import Path
from typing import Any

import structlog

from cluster.agent import Agent
from cluster.data_dir import DataDir
from cluster.log.primary_lease import Acquired, LeaseEvent, Lost, Renewed
from cluster.log.state import ReplicatedState
from cluster.log.view import Member
from cluster.settings import LeaseSettings, NodeSettings
from node import replicated_log
from node.members_port import members_port
from paceline.clock import now
from paceline.errors import PacelineError

SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"


def tell(event: str, **more: Any) -> None:
    # One write, unbuffered: what was told before a SIGKILL arrives.
    os.write(1, json.dumps({"at": now(), "event": event, **more}).encode() + b"\n")


def lease_event(event: LeaseEvent) -> None:
    match event:
        case Acquired(epoch, members, first_epoch, until):
            tell("acquired", epoch=epoch, until=until, members=members, first=first_epoch)
        case Renewed(until):
            tell("renewed", until=until)
        case Lost(epoch):
            tell("lost", epoch=epoch)


async def run(config: dict[str, Any]) -> None:
    node_id, peers = config["node_id"], config["peers"]
    settings = NodeSettings(
        node_id=node_id,
        peers=peers,
        members_bind=peers[node_id],
        cluster="lease-test",
        dial_map=config.get("dial_map") or {},
        lease=LeaseSettings(**config["lease"]),
    )
    data_dir = DataDir.open(Path(config["data_dir"]), node_id, "lease-test")
    members = members_port(settings, SECRET)
    assert members is not None
    consensus = replicated_log.participant(settings, members, data_dir, ReplicatedState())
    member = Member(node_id, "a", secrets.token_hex(16))
    agent = Agent(consensus, member, settings.founders, settings.lease, data_dir)
    agent.on_lease(lease_event)
    agent.subscribe(lambda view: tell("view", members=[m.id for m in view.members]))
    try:
        await members.server.start()
        await agent.start(config.get("start_s", 30.0))
        tell("registered")
        await obey(agent)
    except PacelineError as error:
        tell("failed", error=type(error).__name__, message=str(error))
    finally:
        await agent.stop()
        await members.server.stop()
        data_dir.close()
    tell("stopped")


taken: list[int] = []


def exhaust() -> int:
    """Takes every file descriptor that this process may have; returns how many it has."""
    files_max = len(os.listdir("/dev/fd")) + 8
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return files_max


async def obey(agent: Agent) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        match line:
            case ["release"]:
                await agent.release(10.0)
                tell("released")
            case ["resume"]:
                agent.resume()
            case ["remove", node_id]:
                await agent.remove_member(node_id, 20.0)
                tell("removed", id=node_id)
            case ["add", node_id, address]:
                await agent.add_member(node_id, address, 20.0)
                tell("added", id=node_id)
            case ["epoch"]:
                agent.begin_epoch()
            case ["exhaust"]:
                tell("exhausted", files=exhaust())
            case ["free"]:
                while taken:
                    os.close(taken.pop())
                tell("freed")
            case _:
                return


def main() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(run(json.loads(sys.argv[1])))

"""gRPC channels for tests: to clients' ports, and to members' with certificates made here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from cluster.roster.control_feed import SERVICE as CONTROL
from cluster.roster.principals_feed import SERVICE as PRINCIPALS
from cluster.roster.servicer import SERVICE as ROSTER
from cluster.transport.member_certificates import MemberCertificate
from cluster.transport.member_channels import MemberChannels
from cluster.transport.members_server import MembersServer

SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"
OTHER_SECRET = SECRET[::-1]
CLUSTER = "c"


def open_channel(address: str) -> grpc.aio.Channel:
    """As a client opens one, with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    return grpc.aio.insecure_channel(address, options=options)


def member(node_id: str = "n2", *, secret: str = SECRET, **more: Any) -> MemberCertificate:
    return MemberCertificate(secret, CLUSTER, node_id, **more)


def discovery() -> MemberCertificate:
    return MemberCertificate.of_discovery(SECRET, CLUSTER)


def channels_of(
    shown: MemberCertificate | None = None, dial_map: Mapping[str, str] | None = None
) -> MemberChannels:
    return MemberChannels(shown or member(), dial_map)


def members_server(node_id: str, *registers: Callable[[Any], None]) -> MembersServer:
    server = MembersServer(member(node_id), "127.0.0.1:0", [ROSTER, PRINCIPALS, CONTROL])
    for register in registers:
        server.add(register)
    return server


@asynccontextmanager
async def serving_members(node_id: str, *registers: Callable[[Any], None]) -> AsyncIterator[str]:
    """The address of a members' port that serves this."""
    server = members_server(node_id, *registers)
    address = await server.start()
    try:
        yield address
    finally:
        await server.stop()

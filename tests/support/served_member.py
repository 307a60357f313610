"""A member of the replicated log with a port of its own, as a node's program gives it one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.consensus.member import Member
from cluster.transport.member_certificates import MemberCertificate
from cluster.transport.member_channels import MemberChannels
from cluster.transport.members_server import MembersServer


class ServedMember(Member):
    def __init__(
        self,
        *,
        bind: str,
        secret: str,
        cluster: str,
        dial_map: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        certificate = MemberCertificate(secret, cluster, settings["node_id"])
        self._server = MembersServer(certificate, bind)
        channels = MemberChannels(certificate, dial_map)
        super().__init__(cluster=cluster, server=self._server, channels=channels, **settings)

    async def start(self, *callbacks: Any) -> None:
        await self._server.start()
        await super().start(*callbacks)

    async def stop(self) -> None:
        await super().stop()
        await self._server.stop()

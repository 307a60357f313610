"""Follows the principals of the log, through the node whose roster is followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from cluster.log.sealed_principals import SealedPrincipal
from cluster.roster.principals_feed import WATCH, Gathered
from cluster.transport.member_channels import MemberChannels
from discovery.following import Follower, Take


class PrincipalsWatcher:
    """``sealed``: what the log has, as of the newest that any node has told. It stays while no node
    is reached: whoever was known may ask who is there, and nodes decide about the rest.

    ``source``: the address of the node that is followed, if any.
    """

    def __init__(self, source: Callable[[], str | None], channels: MemberChannels) -> None:
        self.run = Follower(source, channels, WATCH, "principals", self._begin).run
        """Until it is cancelled."""
        self._sealed: Mapping[str, SealedPrincipal] = {}
        self._newest = ("", -1)
        self.known = asyncio.Event()
        """Set with the first list."""

    def sealed(self) -> Mapping[str, SealedPrincipal]:
        return self._sealed

    def _begin(self) -> Take:
        gathered = Gathered()

        def take(piece: bytes) -> None:
            told = gathered.take(piece)
            if told is not None:
                self._take(*told)

        return take

    def _take(self, cluster_id: str, principals: Any) -> None:
        """A node that is behind the others does not undo what they have told."""
        before, revision = self._newest
        if cluster_id == before and principals.revision < revision:
            return
        self._newest = (cluster_id, principals.revision)
        self._sealed = principals.by_name
        self.known.set()

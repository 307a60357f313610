"""Follows further clusters, and has their logs say what their parameter group says.

Each has a secret of its own, which follows from the home cluster's and from the cluster's id: so
every discovery process knows it, and it is in no record.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cluster.access.member_key import member_key, signed_by
from cluster.log.commands import ChangeControl
from cluster.log.lifetimes import CLUSTER, PARAMETER_GROUP
from cluster.roster.live_roster import LiveRoster
from cluster.roster.liveness import ProbeTimes
from cluster.roster.prober import Prober
from cluster.transport.member_certificates import MemberCertificate
from cluster.transport.member_channels import MemberChannels
from discovery.control.feed import ControlFeed
from discovery.control.records import DEFAULT_PARAMETERS, Further, Records
from discovery.control.world import UNSEEN, Seen
from discovery.sources import Seeds
from discovery.watch.scraper import Source
from discovery.watcher import RosterWatcher
from paceline.clock import utc_now
from paceline.errors import Unavailable

KEEP_S = 0.5
"""How often a cluster's log is compared with its parameter group."""
CHANGE_S = 10.0
ASK_S = 0.3

_INFO = b"paceline: secret of a further cluster, 1"

_log = structlog.get_logger()


def secret_of(home: str, cluster_id: str) -> str:
    """Of the further cluster with that id; nobody finds the home cluster's from it."""
    derived = HKDF(hashes.SHA256(), 32, salt=cluster_id.encode(), info=_INFO).derive(home.encode())
    return base64.urlsafe_b64encode(derived).decode()


def wanted_of(records: Records, name: str) -> dict[str, bytes]:
    """What the log of a further cluster is to have, by the name of the record. Pure."""
    further = records.further[name]
    group = further.cluster.parameter_group
    written = records.by_name()
    found = {CLUSTER: b'{"parameter_group":"%s"}' % group.encode()}
    if group != DEFAULT_PARAMETERS and PARAMETER_GROUP + group in written:
        found[PARAMETER_GROUP + group] = written[PARAMETER_GROUP + group]
    return found


@dataclass(slots=True)
class Beside:
    """One further cluster that is followed. ``tasks``: all that runs for it."""

    id: str
    seeds: tuple[str, ...]
    roster: LiveRoster
    feed: ControlFeed
    channels: MemberChannels
    prober: Prober
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    wanted: Mapping[str, bytes] = field(default_factory=dict)

    def seen(self) -> Seen:
        told, roster = self.feed.told, self.roster.snapshot()
        if roster is None:
            return UNSEEN
        facts = {} if told is None else told.facts
        return Seen(roster.view, roster.health, facts, not self.changes())

    def changes(self) -> dict[str, bytes | None]:
        """What its log is to be told; before anything is known of it, all."""
        told = self.feed.told
        by_name: Mapping[str, bytes] = {} if told is None else told.records.by_name
        stale = {
            name: None
            for name in by_name
            if name.startswith(PARAMETER_GROUP) and name not in self.wanted
        }
        new = {name: one for name, one in self.wanted.items() if by_name.get(name) != one}
        return {**stale, **new}

    async def aclose(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.prober.aclose()


class Besides:
    """``secret``: the home cluster's. ``signs``: whether members are to be told who probes them."""

    def __init__(self, secret: str, region: str, *, signs: bool) -> None:
        self._secret = secret
        self._region = region
        self._signs = signs
        self.all: dict[str, Beside] = {}

    async def follow(self, records: Records) -> None:
        """Begins with those that are new, or elsewhere, and leaves those that are gone."""
        for name, one in list(self.all.items()):
            further = records.further.get(name)
            site = None if further is None or further.id != one.id else further.site
            if site is None or site.seeds != one.seeds:
                del self.all[name]
                await one.aclose()
        for name, further in records.further.items():
            if further.site is not None and name not in self.all:
                self.all[name] = self._begin(name, further, further.site.seeds)
            if name in self.all:
                self.all[name].wanted = wanted_of(records, name)

    def seen(self) -> Mapping[str, Seen]:
        return {name: one.seen() for name, one in self.all.items()}

    def sources(self) -> list[Source]:
        """Of metrics."""
        return [Source(name, one.roster, one.channels) for name, one in self.all.items()]

    async def aclose(self) -> None:
        for name in list(self.all):
            await self.all.pop(name).aclose()

    def _begin(self, name: str, further: Further, seeds: tuple[str, ...]) -> Beside:
        secret = secret_of(self._secret, further.id)
        shown = MemberCertificate.of_discovery(secret, name)
        channels, roster = MemberChannels(shown), LiveRoster()
        watcher = RosterWatcher(roster, Seeds(seeds), channels)
        feed = ControlFeed(lambda: watcher.source, channels)
        sign = None
        if self._signs:
            key = member_key(secret, name)
            sign = signed_by(key, self._region, utc_now)
        prober = Prober(roster.update_health, times=ProbeTimes(ask_s=ASK_S), sign=sign)
        made = Beside(further.id, seeds, roster, feed, channels, prober)
        work = (watcher.run(), feed.run(), shown.watch(), _probe(made), _keep(name, made))
        loop = asyncio.get_running_loop()
        made.tasks = [loop.create_task(one) for one in work]
        return made


async def _probe(one: Beside) -> None:
    """Until it is cancelled."""
    revision = -1
    while True:
        await one.roster.changed_since(revision)
        revision = one.roster.revision
        if one.roster.view is not None:
            one.prober.follow(one.roster.view.members)


async def _keep(name: str, one: Beside) -> None:
    """Until it is cancelled."""
    while True:
        told = one.feed.told
        changes = one.changes() if told is not None else {}
        if told is not None and changes:
            command = ChangeControl(secrets.token_hex(16), told.records.revision, changes, ())
            try:
                _, refused = await one.feed.change(command, CHANGE_S)
                if refused:
                    _log.info("a cluster's parameter group is late", cluster=name, why=refused)
            except Unavailable as error:
                _log.info("a cluster's parameter group is late", cluster=name, why=str(error))
        await asyncio.sleep(KEEP_S)

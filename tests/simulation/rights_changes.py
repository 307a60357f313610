"""An operator who adds principals and changes what they may do, at one node or another."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any, Protocol

from node.admin.principals import PrincipalCommands
from node.admin.sealed_log import SealedLog
from paceline.errors import PacelineError, RequestError
from tests.simulation.loop import Owner, VirtualLoop
from tests.simulation.node import SimulatedNode
from tests.simulation.rights import KINDS, Rights, policies
from tests.simulation.signing import Identity, Key

ROOT = "root"
"""May do everything, all the time: who looks whether the cluster works."""

PATIENCE_S = 25.0
POLL_S = 0.3


class Scene(Protocol):
    loop: VirtualLoop

    def serving(self) -> list[SimulatedNode]: ...
    def note(self, text: str) -> None: ...
    def count(self, what: str) -> None: ...


class RightsChanges:
    def __init__(self, scene: Scene, rng: random.Random, rights: Rights) -> None:
        self._scene = scene
        self._rng = rng
        self._rights = rights
        self._owner = Owner(scene.loop, "operator")
        self.names = [f"u{number}" for number in range(rights.principals)]
        self._keys: dict[str, Key] = {}
        """The latest one of each that was shown."""
        self._known: dict[str, list[str]] = {}
        """The ids of all that were."""
        self._removed: set[str] = set()
        """Maybe: it is not known of all whether that was done."""

    def identity(self, number: int) -> Identity:
        """Of a client; number 0 and below are whoever looks after the cluster."""
        name = ROOT if number <= 0 else self.names[number % len(self.names)]
        return Identity(name, self._keys.get(name, Key("PLAKNOBODY0000000000", "?" * 16)))

    def key_of(self, name: str) -> Key:
        return self._keys[name]

    async def prepare(self) -> None:
        """Everybody is there, and may do something."""
        for name in (ROOT, *self.names):
            kind = "all" if name == ROOT or self._rng.random() < 0.5 else self._kind()
            while name not in self._keys:
                await self._does("add", name=name, policies=policies(kind), **self._upstream)
                await asyncio.sleep(POLL_S)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / self._rights.change_every_s))
            await self._change(self._rng.choice(self.names))

    @property
    def _upstream(self) -> dict[str, str]:
        """Credentials of its own, if any are needed; which does not matter here."""
        return {"upstream": '{"profile": "own"}'} if self._rights.as_callers else {}

    def _kind(self) -> str:
        return self._rng.choice(KINDS)

    async def _change(self, name: str) -> None:
        if name in self._removed:
            kind = policies(self._kind())
            if await self._does("add", name=name, policies=kind, **self._upstream):
                self._removed.remove(name)
            return
        chance = self._rng.random()
        if chance < 0.35:
            await self._does("change", name=name, policies=policies(self._kind()))
        elif chance < 0.45:
            await self._does("change", name=name, disabled="true")
        elif chance < 0.75:
            await self._does("change", name=name, disabled="false", policies=policies("all"))
        elif chance < 0.85:
            await self._does("rotate", name=name, now="true")
        elif chance < 0.93:
            await self._does("rotate", name=name)
        elif chance < 0.97:
            key = self._rng.choice(self._known[name])
            await self._does("change", name=name, key=key, disabled="true")
        else:
            self._removed.add(name)
            await self._does("remove", name=name)

    async def _does(self, verb: str, **query: str) -> bool:
        """At some node. False: nobody was there, it was refused, or the outcome is not known."""
        nodes = self._scene.serving()
        if not nodes:
            return False
        node = self._rng.choice(nodes)
        access = node.access
        commands = PrincipalCommands(SealedLog(node.agent, access.in_log, access.seal))
        task = node.owner.spawn(commands.commands[f"/principals/{verb}"](query))
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
        said = f"operator: {verb} {query} at {node.name}: "
        if not done or task.cancelled():
            task.cancel()
            self._scene.note(f"{said}no answer")
            return False
        error = task.exception()
        if error is not None:
            assert isinstance(error, PacelineError), repr(error)
            self._scene.note(f"{said}{error!r}")
            if not (isinstance(error, RequestError) and verb == "add" and "already" in str(error)):
                return False
            # It was done before, by a command of which nobody knew.
            return await self._does("rotate", name=query["name"], now="true")
        self._scene.note(f"{said}done")
        self._scene.count(f"rights: {verb}")
        shown = task.result().get("new_key")
        if shown is not None:
            key = Key(shown["access_key_id"], shown["secret_access_key"])
            self._keys[query["name"]] = key
            self._known.setdefault(query["name"], []).append(key.access_key)
        return True


def secrets_of(rng: random.Random) -> Any:
    """In the place of the module ``secrets``, so that a seed goes the same way each time."""
    return SimpleNamespace(
        choice=rng.choice,
        token_bytes=rng.randbytes,
        token_urlsafe=lambda size: rng.randbytes(size).hex(),
    )

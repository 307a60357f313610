"""Runs the services of a compose file as processes of this machine.

Containers become processes, their addresses loopback addresses of a network of their own
(127.x.y.0/24), names in their settings those addresses, volumes directories, and published ports
TCP forwarders. What a service says is otherwise taken as it is: the image's entry point with the
service's command, environment, health check, dependencies and stop period. Linux only: elsewhere
127.0.0.1 is the only loopback address.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paceline.clock import now
from tests.support.compose import COMPLETED, Image, Published, Service, dependencies
from tests.support.spawn import spawn

POLL_S = 0.1
"""Between two health checks: a test does not wait for the service's own interval."""
_PARENT_DEATH = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execvp(sys.argv[1], sys.argv[1:])"
)
"""PR_SET_PDEATHSIG with SIGKILL: nothing outlives a test run that is killed."""


@dataclass(frozen=True, slots=True)
class Stopped:
    exit_code: int
    took_s: float


@dataclass(slots=True)
class Forwarder:
    """One published port."""

    port: Published
    target: str
    connections: int = 0
    _server: asyncio.Server | None = None
    _pipes: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, self.port.host_ip, self.port.host_port
        )

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        task.add_done_callback(self._pipes.discard)
        self.connections += 1
        try:
            upstream = await asyncio.open_connection(self.target, self.port.container_port)
        except OSError:
            # As Docker does while nobody listens behind a published port.
            writer.close()
            return
        try:
            await asyncio.gather(_pipe(reader, upstream[1]), _pipe(upstream[0], writer))
        except (asyncio.CancelledError, OSError):
            # Streams log an unhandled cancellation; the connection is closed all the same.
            pass
        finally:
            for end in (writer, upstream[1]):
                end.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


class Containers:
    """``services``: in dependency order. ``directory``: for volumes, logs and scratch files.
    ``paths``: container paths and programs to what stands for them on this machine."""

    def __init__(
        self,
        services: Mapping[str, Service],
        image: Image,
        directory: Path,
        *,
        paths: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        self._services = services
        self._image = image
        self._directory = directory
        self._paths = dict(paths)
        self._environment = dict(environment)
        network = _free_network()
        self.addresses = {name: f"{network}.{11 + i}" for i, name in enumerate(services)}
        self.forwarders: dict[tuple[str, int], Forwarder] = {
            (name, port.container_port): Forwarder(port, self.addresses[name])
            for name, service in services.items()
            for port in service.ports
        }
        self._names = {
            alias: self.addresses[service.name]
            for service in services.values()
            for alias in service.names
        }
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._ready = {name: asyncio.Event() for name in services}

    def published(self, name: str, port: int) -> str:
        """Where a container's port is on the host."""
        found = self.forwarders[name, port].port
        return f"{found.host_ip}:{found.host_port}"

    # -- what a container sees ---------------------------------------------------------------

    def volume(self, name: str) -> Path:
        return self._directory / "volumes" / name

    def log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def environment_of(self, service: Service) -> dict[str, str]:
        scratch = self._directory / "tmp" / service.name
        scratch.mkdir(parents=True, exist_ok=True)
        image = {k: v for k, v in self._image.environment.items() if k not in self._environment}
        own = {k: self._translated(service, v) for k, v in service.environment.items()}
        # Inside a container, loopback is its own.
        loopback = f"{self.addresses[service.name]}:"
        own = {
            k: v.replace("127.0.0.1:", loopback) if k.endswith("_BIND") else v
            for k, v in own.items()
        }
        return {**image, **self._environment, "TMPDIR": str(scratch), **own}

    def arguments_of(self, service: Service, words: Sequence[str]) -> list[str]:
        """Words of a command: inside a container, loopback is its own."""
        address = self.addresses[service.name]
        own = re.compile(r"(?<![\w.])(?:127\.0\.0\.1|localhost)(?=:\d)")
        return [own.sub(address, self._translated(service, word)) for word in words]

    def _translated(self, service: Service, text: str) -> str:
        if text in self._paths:
            return self._paths[text]
        for mount in service.mounts:
            path = re.compile(rf"(?<![\w./-]){re.escape(mount.target)}(?=/|$)")
            text = path.sub(str(self.volume(mount.volume)), text)
        text = text.replace("0.0.0.0:", f"{self.addresses[service.name]}:")
        names = "|".join(re.escape(name) for name in sorted(self._names, key=len, reverse=True))
        peer = re.compile(rf"(?<![\w.-])({names})(?=:\d)|(?<=^--name=)({names})$")
        return peer.sub(lambda match: self._names[match[1] or match[2]], text)

    # -- running -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when every service is healthy, or completed if it is a one-shot.

        Each is started when its dependencies are. AssertionError with the end of its log for one
        that ends, or is not healthy in the time after which Docker would call it unhealthy.
        """
        for forwarder in self.forwarders.values():
            await forwarder.start()
        async with asyncio.TaskGroup() as group:
            for service in self._services.values():
                group.create_task(self._bring_up(service), name=service.name)

    async def stop(self) -> dict[str, Stopped]:
        """Stops as Compose does: dependents first, SIGTERM, SIGKILL after the stop period."""
        stopped: dict[str, Stopped] = {}
        gone = {name: asyncio.Event() for name in self._services}

        async def end(service: Service) -> None:
            for other in self._services.values():
                if service.name in other.depends_on:
                    await gone[other.name].wait()
            process = self._processes.get(service.name)
            if process is not None:
                began = now()
                code = await self._end_process(process, service.stop_grace_s)
                stopped[service.name] = Stopped(code, now() - began)
            gone[service.name].set()

        async with asyncio.TaskGroup() as group:
            for service in self._services.values():
                group.create_task(end(service))
        for forwarder in self.forwarders.values():
            await forwarder.stop()
        return stopped

    async def execute(
        self, name: str, words: Sequence[str], *, timeout_s: float = 10.0
    ) -> tuple[int, str]:
        """Exit code and output of a command in a container, as ``docker compose exec`` has them:
        in its environment, past the entry point."""
        service = self._services[name]
        command = await spawn(
            *self.arguments_of(service, words),
            env=self.environment_of(service),
            cwd=self._directory,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(timeout_s):
                output, _ = await command.communicate()
        except TimeoutError:
            return 1, f"no result within {timeout_s} s"
        finally:
            if command.returncode is None:
                command.kill()
                await command.wait()
        assert command.returncode is not None
        return command.returncode, output.decode(errors="replace").strip()

    async def kill(self) -> None:
        """Leaves nothing behind, whatever happened; safe to call after ``stop``."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        for forwarder in self.forwarders.values():
            await forwarder.stop()

    async def _bring_up(self, service: Service) -> None:
        needed = dependencies(service, self._services)
        for name in needed:
            await self._ready[name].wait()
        process = await self._spawn(service)
        one_shot = any(
            other.depends_on[service.name].condition == COMPLETED
            for other in self._services.values()
            if service.name in other.depends_on
        )
        if one_shot:
            async with asyncio.timeout(service.stop_grace_s):
                code = await process.wait()
            assert code == 0, f"{service.name} ended with {code}:\n{self._log_end(service)}"
        else:
            await self._healthy(service, process)
        self._ready[service.name].set()

    async def _spawn(self, service: Service) -> asyncio.subprocess.Process:
        for mount in service.mounts:
            self.volume(mount.volume).mkdir(parents=True, exist_ok=True)
        words = (*self._image.entrypoint, *service.command)
        with self.log(service.name).open("wb") as log:
            process = await spawn(
                *(sys.executable, "-c", _PARENT_DEATH, *self.arguments_of(service, words)),
                env=self.environment_of(service),
                cwd=self._directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes[service.name] = process
        return process

    async def _healthy(self, service: Service, process: asyncio.subprocess.Process) -> None:
        health = service.health
        assert health is not None, f"{service.name} has no health check"
        until = now() + health.start_period_s + health.retries * health.interval_s
        while True:
            code, output = await self._check(service)
            if code == 0:
                return
            assert process.returncode is None, (
                f"{service.name} ended with {process.returncode}:\n{self._log_end(service)}"
            )
            assert now() < until, (
                f"{service.name} is not healthy: {output}\n{self._log_end(service)}"
            )
            await asyncio.sleep(POLL_S)

    async def _check(self, service: Service) -> tuple[int, str]:
        health = service.health
        assert health is not None
        assert health.test[0] == "CMD", f"{service.name}: only CMD checks can be run here"
        return await self.execute(service.name, health.test[1:], timeout_s=health.timeout_s)

    async def _end_process(self, process: asyncio.subprocess.Process, grace_s: float) -> int:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(grace_s):
                    await process.wait()
            except TimeoutError:
                process.kill()
        return await process.wait()

    def _log_end(self, service: Service) -> str:
        return self.log(service.name).read_text(errors="replace")[-4000:]


def _free_network() -> str:
    """A 127.x.y that no other test run is likely to use; not seeded, for that very reason."""
    chooser = random.SystemRandom()
    network = f"127.{chooser.randrange(64, 255)}.{chooser.randrange(1, 255)}"
    with socket.socket() as probe:
        probe.bind((f"{network}.11", 0))
    return network


def loopback_networks() -> bool:
    """Whether all of 127.0.0.0/8 can be bound, as on Linux."""
    try:
        _free_network()
    except OSError:
        return False
    return sys.platform == "linux"

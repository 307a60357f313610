"""All links of a cluster, and the commands by which its ``up`` process sets their faults."""

import asyncio
import contextlib
import hmac
import json
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from paceline_local.chaos.faults import Faults
from paceline_local.chaos.layout import DYNAMODB, LinkSpec
from paceline_local.chaos.link import Link, Target
from paceline_local.chaos.pipe import Direction, Sink
from paceline_local.chaos.requests import RequestFilter, carry_out_apart
from paceline_local.chaos.rules import Flow
from paceline_local.ports import LOOPBACK

COMMAND_BYTES_MAX = 4 * 1024 * 1024
"""The longest command. Eleven nodes have fewer than a thousand flows, of some hundred bytes
each."""
IDLE_S = 60.0
"""A connection for commands that says nothing for so long is closed."""
CARRIED_OUT_MAX = 256
"""The most requests that are done apart from their connection at one time."""


class Proxies:
    """Every link of ``specs``, each on a free port outside ``taken``."""

    def __init__(self, specs: Sequence[LinkSpec], rng: random.Random) -> None:
        self._rng = rng
        self._flows: dict[Flow, Direction] = {}
        self._targets: dict[str, Target] = {}
        self._apart: set[asyncio.Task[None]] = set()
        self.links: dict[LinkSpec, Link] = {spec: self._link(spec) for spec in specs}

    def open(self, taken: Collection[int]) -> list[int]:
        """Opens the links, and returns their ports in the order of ``specs``."""
        ports = [link.open(taken) for link in self.links.values()]
        for target in self._targets.values():
            target.watch()
        return ports

    async def close(self) -> None:
        for task in self._apart:
            task.cancel()
        await asyncio.gather(
            *self._apart,
            *(target.close() for target in self._targets.values()),
            *(link.close() for link in self.links.values()),
            return_exceptions=True,
        )

    def apply(self, faults: Mapping[Flow, Faults]) -> None:
        """Replaces the faults of every flow; those not named have none."""
        healthy = Faults()
        for flow, direction in self._flows.items():
            direction.set(faults.get(flow, healthy))
        for link in self.links.values():
            link.settle()

    def describe(self) -> list[dict[str, Any]]:
        """Tells per flow that was used or has faults what went through and what is held back."""
        connections: dict[Flow, int] = {}
        for spec, link in self.links.items():
            for flow in (_forward(spec), _backward(spec)):
                connections[flow] = connections.get(flow, 0) + len(link.connections)
        return [
            {
                "from": flow[0],
                "to": flow[1],
                "channel": flow[2],
                "connections": connections[flow],
                "bytes": direction.bytes_passed,
                "held_bytes": sum(pipe.queued_bytes for pipe in direction.pipes),
                "resets": direction.resets,
                "requests_answered": direction.requests_answered,
                "faults": direction.faults.to_json(),
            }
            for flow, direction in self._flows.items()
        ]

    def _link(self, spec: LinkSpec) -> Link:
        host, port = spec.target
        target = self._targets.setdefault(spec.address, Target(host, port))
        forward = self._direction(_forward(spec))
        make_filter = None
        if spec.acceptor == DYNAMODB:
            make_filter = partial(self._filter, forward, target)
        return Link(target, forward, self._direction(_backward(spec)), make_filter)

    def _direction(self, flow: Flow) -> Direction:
        return self._flows.setdefault(flow, Direction(self._rng))

    def _filter(
        self,
        direction: Direction,
        target: Target,
        sink: Sink,
        answer: Callable[[bytes], None],
        reset: Callable[[], None],
    ) -> Sink:
        def carry_out(request: bytes, done: Callable[[], None]) -> None:
            if len(self._apart) >= CARRIED_OUT_MAX:
                reset()
                return
            task = asyncio.get_running_loop().create_task(
                carry_out_apart(request, target.host, target.port), name="chaos-request"
            )
            self._apart.add(task)

            def ended(task: asyncio.Task[None]) -> None:
                self._apart.discard(task)
                if not task.cancelled():
                    done()

            task.add_done_callback(ended)

        return RequestFilter(direction, sink, answer, carry_out)


def _forward(spec: LinkSpec) -> Flow:
    return spec.dialler, spec.acceptor, spec.channel


def _backward(spec: LinkSpec) -> Flow:
    return spec.acceptor, spec.dialler, spec.channel


class CommandServer:
    """Lines of JSON on a loopback port: a token first, then commands, each answered by a line.

    ``{"do": "apply", "flows": [{"from", "to", "channel", "faults"}]}`` and ``{"do": "describe"}``.
    """

    def __init__(self, proxies: Proxies, token: str) -> None:
        self._proxies = proxies
        self._token = token
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, limit=COMMAND_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with asyncio.timeout(IDLE_S):
                token = (await reader.readline()).strip()
            if not hmac.compare_digest(token, self._token.encode()):
                return
            while await self._one(reader, writer):
                pass
        except (OSError, ValueError, TimeoutError):
            pass  # too long a line, or the other end has gone: nothing is lost with it
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(IDLE_S):
            line = await reader.readline()
        if not line:
            return False
        command = json.loads(line)
        if command["do"] == "apply":
            self._proxies.apply(flows_of(command["flows"]))
            answer: dict[str, Any] = {}
        else:
            answer = {"flows": self._proxies.describe()}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        return True


def flows_of(found: Iterable[Mapping[str, Any]]) -> dict[Flow, Faults]:
    return {
        (one["from"], one["to"], one["channel"]): Faults.from_json(one["faults"]) for one in found
    }

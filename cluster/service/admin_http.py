"""HTTP for operators: health, status, metrics, and a few commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from cluster.transport.addresses import (
    bind_failure,
    is_loopback,
    join_host_port,
    split_host_port,
)
from paceline.errors import PacelineError, RequestError

COMMAND_S = 30.0
"""How long a command may take before the caller is told that it is not known how it ended."""
BODY_BYTES_MAX = 64 * 1024

Command = Callable[[Mapping[str, str]], Awaitable[dict[str, Any]]]
"""A POST hook: query parameters to a JSON result. RequestError is answered with 400, any other
PacelineError with 503."""

_log = structlog.get_logger()


class AdminServer:
    """``/healthz`` (the process runs), ``/readyz`` (503 and the reason until it can serve),
    ``/status`` (JSON), ``/metrics`` (Prometheus) and POST commands.

    Commands are taken from this machine only, unless ``insecure``; and never from a web page
    (browsers send Origin), which could reach a loopback port through its visitor.
    """

    def __init__(
        self,
        *,
        unready: Callable[[], str | None],
        status: Callable[[], dict[str, Any] | Awaitable[dict[str, Any]]],
        registry: CollectorRegistry,
        insecure: bool = False,
        setting: str = "PACELINE_ADMIN_BIND",
    ) -> None:
        self._unready = unready
        self._status = status
        self._registry = registry
        self._insecure = insecure
        self._setting = setting
        self._commands: dict[str, Command] = {}
        self._runner: web.AppRunner | None = None

    def command(self, path: str, command: Command) -> None:
        """Registers ``POST path``, e.g. ``/flush`` with ``?table=``; before ``start``."""
        self._commands[path] = command

    async def start(self, bind: str) -> str:
        """Listens on ``host:port`` (port 0: any free one) and returns the bound address."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/status", self._get_status)
        app.router.add_get("/metrics", self._metrics)
        for path, command in self._commands.items():
            app.router.add_post(path, self._post(path, command))
        host, port = split_host_port(bind)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, host, port)
            await site.start()
        except OSError as error:
            await self.stop()
            raise bind_failure(self._setting, bind, error) from error
        bound: int = self._runner.addresses[0][1]
        return join_host_port(host, bound)

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        reason = self._unready()
        if reason is None:
            return web.Response(text="ready\n")
        return web.Response(status=503, text=f"not ready: {reason}\n")

    async def _get_status(self, request: web.Request) -> web.Response:
        status = self._status()
        if not isinstance(status, dict):
            async with asyncio.timeout(COMMAND_S):
                status = await status
        return web.json_response(status)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def _post(
        self, path: str, command: Command
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            if not (self._insecure or is_loopback(request.remote or "")):
                return _problem(403, "commands are taken from this machine only")
            if "Origin" in request.headers:
                return _problem(403, "commands are not taken from web pages")
            try:
                async with asyncio.timeout(COMMAND_S):
                    result = await command(dict(request.query))
            except RequestError as error:
                return _problem(400, error.message)
            except PacelineError as error:
                return _problem(503, str(error))
            except TimeoutError:
                return _problem(504, f"no answer within {COMMAND_S:g} s; it may still happen")
            _log.info("admin command", path=path, query=dict(request.query))
            return web.json_response(result)

        return handle


def _problem(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)

"""HTTP for operators: health, status, metrics, and a few commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from cluster.access.audit import AuditEvent, Decision, Tell
from cluster.service.admin_socket import listen_unix
from cluster.service.admin_token import AdminToken, is_bearer
from cluster.service.commands import AdminCommand, Coalesced, Rate, TooManyCommands
from cluster.service.http_connections import IDLE_S, HttpConnections, quiet_logger
from cluster.transport.addresses import (
    bind_failure,
    join_host_port,
    split_host_port,
)
from cluster.transport.expected import counted_as, networks
from paceline.clock import now
from paceline.errors import ConfigError, PacelineError, RequestError
from paceline.http_hosts import HttpHosts, is_loopback

COMMAND_S = 30.0
"""After this time the caller of a command is told that its outcome is not known."""
BODY_BYTES_MAX = 64 * 1024
BACKLOG = 64
EVERYBODY = ("0.0.0.0/0", "::/0")
AUDITED = ("name", "key", "id", "address", "table")
"""Parameters that say what a command is about, and are not secret (``key`` is an access key's
id)."""
LINGER_S = 1.0
"""The time for the rest of a body that nobody reads."""

_log = structlog.get_logger()

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AdminServer:
    """``/healthz`` (the process runs), ``/readyz`` (503 and the reason until it can serve),
    ``/status`` (JSON), ``/metrics`` (Prometheus) and POST commands.

    Requests are answered that name a host of this server (``hosts``: further names than the bound
    one) and come from no page of another, so that no web page reads what a loopback port says.
    Status and metrics are for ``readers``, and for who shows a token. Commands are taken from this
    machine only, unless ``insecure``; never from a web page; and only with ``token`` in the
    Authorization header. With ``socket``, a path, they are taken at that unix socket alone, which
    only this process's user can open, without a token.
    """

    def __init__(
        self,
        *,
        unready: Callable[[], str | None],
        status: Callable[[], dict[str, Any] | Awaitable[dict[str, Any]]],
        registry: CollectorRegistry,
        insecure: bool = False,
        setting: str = "PACELINE_ADMIN_BIND",
        hosts: Iterable[str] = (),
        token: AdminToken | None = None,
        tell: Tell | None = None,
        readers: Iterable[str] = EVERYBODY,
        read_token: str = "",
        socket: Path | None = None,
    ) -> None:
        """``tell``: gets each command, whatever became of it, for the audit log."""
        self._unready = unready
        self._status = status
        self._registry = registry
        self._insecure = insecure
        self._setting = setting
        self._host_names = list(hosts)
        self._hosts = HttpHosts()
        self._token = token
        self._readers = networks(readers)
        self._read_token = read_token
        self._socket = socket
        self._socket_listener: asyncio.Server | None = None
        self._tell = tell
        self._commands: dict[str, Coalesced] = {}
        self._rate = Rate()
        self._runner: web.AppRunner | None = None
        self._connections: HttpConnections | None = None
        self._listener: asyncio.Server | None = None

    def command(self, path: str, command: AdminCommand) -> None:
        """Registers ``POST path``, e.g. ``/flush`` with ``?table=``; before ``start``."""
        assert self._token is not None, "a command is not for everybody"
        self._commands[path] = Coalesced(command, self._rate, now, COMMAND_S)

    async def start(self, bind: str) -> str:
        """Listens on ``host:port`` (port 0: any free one) and returns the bound address."""
        host, port = split_host_port(bind)
        try:
            self._hosts = HttpHosts([bind, *self._host_names], any_address=not is_loopback(host))
        except ValueError as error:
            raise ConfigError(f"PACELINE_ADMIN_HOSTS: {error}") from error
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[self._bounded])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/status", self._get_status)
        app.router.add_get("/metrics", self._metrics)
        for path, command in self._commands.items():
            app.router.add_post(path, self._post(path, command))
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=quiet_logger("paceline.admin"),
            shutdown_timeout=1.0,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
        )
        await self._runner.setup()
        assert self._runner.server is not None
        self._connections = HttpConnections(self._runner.server, now)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._connections.accept, host, port, backlog=BACKLOG
            )
        except OSError as error:
            await self.stop()
            raise bind_failure(self._setting, bind, error) from error
        if self._socket is not None:
            try:
                self._socket_listener = await listen_unix(self._connections.accept, self._socket)
            except OSError as error:
                await self.stop()
                raise bind_failure("PACELINE_ADMIN_SOCKET", str(self._socket), error) from error
        self._connections.start()
        bound: int = self._listener.sockets[0].getsockname()[1]
        return join_host_port(host, bound)

    async def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        at_socket, self._socket_listener = self._socket_listener, None
        if at_socket is not None and self._socket is not None:
            at_socket.close()
            self._socket.unlink(missing_ok=True)
        if self._connections is not None:
            self._connections.stop()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        for command in self._commands.values():
            await command.aclose()

    @web.middleware
    async def _bounded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        assert self._connections is not None
        self._connections.begin(request)
        try:
            found = [request.headers.getall(name, []) for name in ("Host", "Origin")]
            if any(len(values) > 1 for values in found):
                return _problem(400, "Host or Origin is there twice")
            refusal = self._hosts.refusal(*(values[0] if values else None for values in found))
            if refusal is not None:
                return _problem(403, f"{refusal}; PACELINE_ADMIN_HOSTS lists further names")
            return await handler(request)
        finally:
            self._connections.end(request)

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        reason = self._unready()
        if reason is None:
            return web.Response(text="ready\n")
        if not self._may_read(request):
            return web.Response(status=503, text="not ready\n")
        return web.Response(status=503, text=f"not ready: {reason}\n")

    async def _get_status(self, request: web.Request) -> web.Response:
        if not self._may_read(request):
            return _not_a_reader()
        status = self._status()
        if not isinstance(status, dict):
            try:
                async with asyncio.timeout(COMMAND_S):
                    status = await status
            except TimeoutError:
                return _problem(504, f"no answer within {COMMAND_S:g} s")
        if self._token is not None:
            # The path is no secret: who may read the file may give commands.
            status = {**status, "admin_token_file": str(self._token.path)}
        if self._socket is not None:
            status = {**status, "admin_socket": str(self._socket.absolute())}
        return web.json_response(status)

    async def _metrics(self, request: web.Request) -> web.Response:
        if not self._may_read(request):
            return _not_a_reader()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    def _post(self, path: str, command: Coalesced) -> _Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            query = dict(request.query)

            def audited(
                decision: Decision, answer: web.Response, reason: str = ""
            ) -> web.StreamResponse:
                if self._tell is not None:
                    self._tell(_event(request, decision, told, reason))
                return answer

            told: dict[str, str] = query
            refused = self._refused(request)
            if refused is not None:
                return audited("unauthenticated", refused, f"status {refused.status}")
            try:
                told = {**query, **await _body_of(request)}
                async with asyncio.timeout(COMMAND_S):
                    result = await command(told)
            except RequestError as error:
                return audited("failed", _problem(400, error.message), error.name)
            except TooManyCommands:
                problem = _problem(429, "too many commands; try again in a second")
                return audited("throttled", problem)
            except PacelineError as error:
                return audited("failed", _problem(503, str(error)), type(error).__name__)
            except TimeoutError:
                problem = _problem(504, f"no answer within {COMMAND_S:g} s; it may still happen")
                return audited("failed", problem, "TimeoutError")
            except web.HTTPException as error:  # of a body that is too long
                if self._tell is not None:
                    self._tell(_event(request, "failed", told, f"status {error.status}"))
                raise
            except Exception:
                _log.exception("admin command failed", path=path)
                problem = _problem(500, "it failed, and may be done or not; the log says more")
                return audited("failed", problem, "OutcomeUnknown")
            _log.info("admin command", path=path, query=_without_secrets(query))
            return audited("allowed", web.json_response(result))

        return handle

    def _may_read(self, request: web.Request) -> bool:
        remote = request.remote
        if _is_unix(request) or (remote and not counted_as(remote, self._readers)):
            return True
        shown = request.headers.get("Authorization")
        if is_bearer(shown, self._read_token):
            return True
        return self._token is not None and self._token.opens(shown)

    def _refused(self, request: web.Request) -> web.Response | None:
        if _is_unix(request):
            return None  # the file system has said who may
        if self._socket is not None:
            return _problem(403, f"commands are taken at the unix socket {self._socket} alone")
        if not (self._insecure or is_loopback(request.remote or "")):
            return _problem(403, "commands are taken from this machine only")
        if "Origin" in request.headers:
            return _problem(403, "commands are not taken from web pages")
        assert self._token is not None
        if not self._token.opens(request.headers.get("Authorization")):
            return _problem(
                401,
                f"commands need the token in {self._token.path}, as 'Authorization: Bearer TOKEN'",
                {"WWW-Authenticate": "Bearer"},
            )
        return None


def _event(
    request: web.Request, decision: Decision, told: Mapping[str, str], reason: str
) -> AuditEvent:
    named = [f"{name}={value}" for name, value in _without_secrets(told).items()]
    return AuditEvent(
        decision,
        "admin",
        request.path,
        reason,
        resource=" ".join(named),
        address=request.remote or "",
    )


def _without_secrets(told: Mapping[str, str]) -> dict[str, str]:
    return {name: told[name] for name in AUDITED if name in told}


async def _body_of(request: web.Request) -> Mapping[str, str]:
    """Parameters in a JSON body, for those that are long. RequestError for anything else in it."""
    if not request.can_read_body:
        return {}
    try:
        found = json.loads(await request.text())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise RequestError("ValidationException", "the body has to be a JSON object of texts")
    return found


def _is_unix(request: web.Request) -> bool:
    """Whether it came by the unix socket, whose name is a text; others have host and port."""
    transport = request.transport
    return transport is not None and isinstance(transport.get_extra_info("sockname"), str)


def _not_a_reader() -> web.Response:
    return _problem(
        401,
        "this address is none of PACELINE_ADMIN_READERS: show the token in admin-read-token, in "
        "the data directory of any node, as 'Authorization: Bearer TOKEN'",
        {"WWW-Authenticate": "Bearer"},
    )


def _problem(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)

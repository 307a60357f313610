"""The commands of ``paceline chaos`` over HTTP on loopback: ``POST /v1/VERB``, ``GET /v1/status``.

Bodies and answers are JSON; an error is ``{"error": MESSAGE}`` with 400 for what cannot work and
503 for what does not work now. Who comes without the token gets 401, and the name of its file,
which only the cluster's user may read. The address is in the ready file, as ``chaos``.
"""

import contextlib
import json
import re
import sys
import threading
from collections.abc import Callable, Collection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from paceline.errors import ConfigError, PacelineError
from paceline.http_hosts import HttpHosts
from paceline_local.chaos.controller import Controller
from paceline_local.chaos.token import ChaosToken
from paceline_local.chaos.verbs import VERBS
from paceline_local.ports import LOOPBACK

BODY_BYTES_MAX = 64 * 1024
READ_S = 10.0
"""The time for a request. A client that sends nothing for so long is not one of ours."""
CONNECTIONS_MAX = 32
"""The most connections. Each has a thread; a further one is closed at once."""
_PORT_ATTEMPTS = 100
_LENGTH = re.compile(r"[0-9]{1,10}", re.ASCII)
_HOSTS = HttpHosts()
"""Loopback alone."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 2 * CONNECTIONS_MAX

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of connections that broke."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class ChaosServer:
    """Serves a controller's verbs on threads of its own, until ``close``."""

    def __init__(
        self, controller: Controller, token: ChaosToken, taken: Collection[int] = ()
    ) -> None:
        """``taken``: ports that others use."""
        handler = type("Handler", (_Handler,), {"controller": controller, "token": token})
        spare = []
        for _ in range(_PORT_ATTEMPTS):
            self._server = _Server((LOOPBACK, 0), handler)
            if self._server.server_port not in taken:
                break
            spare.append(self._server)
        for server in spare:
            server.server_close()
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="chaos-server", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    controller: Controller
    token: ChaosToken
    timeout = READ_S

    def do_GET(self) -> None:
        if self._is_refused():
            return
        if self.path == "/v1/status":
            self._answer(self.controller.status)
        else:
            self._send(404, {"error": f"there is no {self.path}: GET /v1/status"})

    def do_POST(self) -> None:
        verb = VERBS.get(self.path.removeprefix("/v1/"))
        length = self.headers.get("Content-Length") or "0"
        if self._is_refused():
            return
        if verb is None:
            self._send(404, {"error": f"there is no {self.path}: POST /v1/ and a verb"})
        elif _LENGTH.fullmatch(length) is None:
            self._send(400, {"error": "the Content-Length is no number"})
        elif int(length) > BODY_BYTES_MAX:
            self._send(413, {"error": f"at most {BODY_BYTES_MAX} bytes are read"})
        elif self.headers.get_content_type() != "application/json":
            # Which a page in a browser cannot send to another origin without asking first.
            self._send(415, {"error": "the content type must be application/json"})
        else:
            raw = self.rfile.read(int(length))

            def act() -> Any:
                try:
                    found = json.loads(raw or b"{}")
                except (ValueError, RecursionError) as error:
                    raise ConfigError(f"the body is no JSON: {error}") from error
                if not isinstance(found, dict):
                    raise ConfigError("the body must be a JSON object")
                return {"result": self.controller.do(verb.from_json(found))}

            self._answer(act)

    def _is_refused(self) -> bool:
        """True if the request was a stranger's, and has been refused."""
        hosts, origins = (self.headers.get_all(name, []) for name in ("Host", "Origin"))
        if len(hosts) > 1 or len(origins) > 1:
            why: str | None = "Host or Origin is there twice"
        else:
            why = _HOSTS.refusal(*(values[0] if values else None for values in (hosts, origins)))
        if why is not None:
            self._send(403, {"error": f"this server is for this machine alone: {why}"})
            return True
        shown = self.headers.get_all("Authorization", [])
        if len(shown) == 1 and self.token.opens(shown[0]):
            return False
        path = str(self.token.path)
        why = f"commands need the token in {path}, as 'Authorization: Bearer TOKEN'"
        self._send(401, {"error": why, "token_file": path})
        return True

    def _answer(self, act: Callable[[], Any]) -> None:
        try:
            self._send(200, act())
        except ConfigError as error:
            self._send(400, {"error": str(error)})
        except (PacelineError, RuntimeError) as error:
            # RuntimeError: the cluster is stopping, or two commands started the same program.
            self._send(503, {"error": str(error)})

    def _send(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        with contextlib.suppress(ConnectionError):  # it did not wait for the answer
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: ``up`` tells what was done, not what was asked."""

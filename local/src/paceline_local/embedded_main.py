"""Runs ministack, keeps web pages away from it and stops it when the parent process is gone.
Standard library only: it is run by the interpreter of ministack's own environment, not imported."""

import importlib
import importlib.util
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

SAVE_TIMEOUT_S = 10.0
"""The time for saving the tables at a stop; then the process ends without it."""


Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]

CORS = b"access-control-"
SAME_SITE = (b"same-origin", b"none")
"""What browsers say of requests (Sec-Fetch-Site) that a page of another site has no part in."""


def load_hosts(file: str) -> Any:
    """The hosts that it goes by: names of this machine, and those that the environment tells, with
    which every literal address counts, too. ``file``: of ``paceline.http_hosts``, a package that is
    not on the path here."""
    spec = importlib.util.spec_from_file_location("paceline_http_hosts", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    names = os.environ.pop("PACELINE_EMBEDDED_HOSTS", "").split()
    return module.HttpHosts(names, any_address=bool(names))


class BrowserGuard:
    """An ASGI application before ministack's, which lets every web page read and change its tables
    (``Access-Control-Allow-Origin: *``). Requests by pages of strangers, and by a name that is not
    this machine's, are answered with 403; no page is told that it may read an answer."""

    def __init__(self, app: Any, hosts: Any) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # websockets: DynamoDB has none
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope["headers"])
        if refusal is not None:
            await self._refuse(send, refusal)
            return

        async def send_without_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [h for h in message.get("headers", ()) if not is_cors(h[0])]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, send_without_cors)

    def _refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        found: dict[bytes, list[bytes]] = {b"host": [], b"origin": [], b"sec-fetch-site": []}
        for name, value in headers:
            if name.lower() in found:
                found[name.lower()].append(value)
        if any(len(values) > 1 for values in found.values()):
            return "Host, Origin or Sec-Fetch-Site is there twice"
        if (
            any(value not in SAME_SITE for value in found[b"sec-fetch-site"])
            and not (found[b"origin"])
        ):
            return "web pages of other sites are not answered"
        host, origin = (
            values[0].decode("latin-1") if values else None
            for values in (found[b"host"], found[b"origin"])
        )
        refusal: str | None = self._hosts.refusal(host, origin)
        return refusal

    @staticmethod
    async def _refuse(send: Send, why: str) -> None:
        body = b'{"__type":"AccessDeniedException","message":"' + why.encode() + b'"}'
        headers = [
            (b"content-type", b"application/x-amz-json-1.0"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def is_cors(name: bytes) -> bool:
    return name.lower().startswith(CORS)


def stop_with_parent(fd: int) -> None:
    # Nobody ever writes: a read returns when every copy of the other end is closed.
    while os.read(fd, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SAVE_TIMEOUT_S)
    os._exit(1)


def main() -> None:
    parent_fd = os.environ.pop("PACELINE_PARENT_FD", "")
    if parent_fd:
        threading.Thread(target=stop_with_parent, args=(int(parent_fd),), daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="paceline-embedded-") as scratch:
        # It writes a pid file into the temporary directory, whoever else's may be there.
        tempfile.tempdir = scratch
        hosts = load_hosts(sys.argv[1])
        sys.argv = ["ministack"]
        ministack: Any = importlib.import_module("ministack.app")
        ministack.app = BrowserGuard(ministack.app, hosts)  # which is what its main serves
        ministack.main()


if __name__ == "__main__":
    main()

"""Stands in for the server programs in tests of what starts and watches them.

``python fake_program.py node|discovery|dynamodb`` takes the settings that the real ones take and
serves what a launcher looks at: /readyz, /status and /flush of a node, a DAX roster, the health
of a DynamoDB. node-1 is the primary. The environment can make it misbehave, by program name
(``NODE_1`` for node-1, ``DISCOVERY``, ``DYNAMODB``): ``FAKE_FAIL_<NAME>`` is written as an error at
start, ``FAKE_CRASH_<NAME>`` ends it with a traceback, ``FAKE_STUBBORN_<NAME>`` ignores SIGTERM,
``FAKE_UNREADY_<NAME>`` never gets ready.
"""

import contextlib
import functools
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# The codec is loaded when somebody asks for a roster: most of these processes are never asked.


def main() -> int:
    program = sys.argv[1]
    name = os.environ["PACELINE_NODE_ID"] if program == "node" else program
    mark = name.upper().replace("-", "_")
    if message := os.environ.get(f"FAKE_FAIL_{mark}"):
        sys.stderr.write(f"some log line\npaceline: error: {message}\n")
        return 2
    if os.environ.get(f"FAKE_CRASH_{mark}"):
        raise RuntimeError("planned crash")
    print(f"{name} starts", flush=True)
    stubborn = bool(os.environ.get(f"FAKE_STUBBORN_{mark}"))
    # Not an Event: its lock may be held by the very code that a signal interrupts.
    stops: list[str] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None if stubborn else stops.append("signal"))
    if not stubborn:
        threading.Thread(target=watch_parent, args=(stops,), daemon=True).start()
    ready = not os.environ.get(f"FAKE_UNREADY_{mark}")
    servers = {"node": start_node, "discovery": start_discovery, "dynamodb": start_dynamodb}
    servers[program](ready)
    while not stops:
        time.sleep(0.05)
    print(f"{name} stops", flush=True)
    return 0


def watch_parent(stops: list[str]) -> None:
    os.read(int(os.environ["PACELINE_PARENT_FD"]), 1)
    stops.append("parent")


def start_node(ready: bool) -> None:
    peers: dict[str, str] = json.loads(os.environ["PACELINE_PEERS"])
    node_id = os.environ["PACELINE_NODE_ID"]
    serve_roster(json.loads(os.environ["PACELINE_LISTENERS"])[0]["bind"], len(peers))
    members = [
        {
            "id": peer,
            "zone": "?",
            "role": "primary" if peer == "node-1" else "replica",
            "alive": True,
            "addresses": {"admin": shifted(address, 20), "grpc": shifted(address, -20)},
        }
        for peer, address in peers.items()
    ]
    token = Path(os.environ["PACELINE_DATA_DIR"]).absolute() / "admin-token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text("ab" * 32)
    status = {
        "id": node_id,
        "zone": os.environ["PACELINE_ZONE"],
        "role": "primary" if node_id == "node-1" else "replica",
        "epoch": 1,
        "primary": "node-1",
        "ready": ready,
        "serving": True,
        "members": members,
        "cache": {"items": 3, "bytes": 4096, "hits": 30, "misses": 10, "evictions": 0},
        "replication": {"position": [1, 7], "lag_messages": 0, "lease_remaining_s": 0.8},
        "uptime_s": 1.5,
        "pid": os.getpid(),
        "version": "0.0.0",
        "admin_token_file": str(token),
    }
    serve_http(
        os.environ["PACELINE_ADMIN_BIND"],
        {"/readyz": (200, b"ready\n") if ready else (503, "fake"), "/status": (200, status)},
    )


def start_discovery(ready: bool) -> None:
    seeds = json.loads(os.environ["PACELINE_SEEDS"])
    bind = json.loads(os.environ["PACELINE_LISTENERS"])[0]["bind"]
    serve_roster(bind, len(seeds) if ready else 0)


def start_dynamodb(ready: bool) -> None:
    del ready
    serve_http(f"127.0.0.1:{os.environ['GATEWAY_PORT']}", {"/health": (200, "ok")})


def serve_roster(bind: str, size: int) -> None:
    """Answers any bytes with a roster of ``size`` nodes: launchers only count them."""
    host, port = bind.rsplit(":", 1)
    listener = socket.create_server((host, int(port)))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                connection.sendall(roster_of(size))

    threading.Thread(target=accept, daemon=True).start()


@functools.cache
def roster_of(size: int) -> bytes:
    from paceline.dax.responses import Endpoint, Role, endpoints_reply

    return endpoints_reply(
        [
            Endpoint(number, f"node-{number}", bytes([127, 0, 0, 1]), 1, Role.REPLICA, "", number)
            for number in range(1, size + 1)
        ]
    )


def serve_http(bind: str, answers: dict[str, tuple[int, Any]]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(*answers.get(self.path.split("?")[0], (404, "no such path")))

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            print(
                f"POST {self.path} {self.headers.get('X-Amz-Target')} "
                f"{self.headers.get('Authorization')} {body!r}",
                flush=True,
            )
            self.answer(200, {"flushed": 3})

        def answer(self, status: int, content: Any) -> None:
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            del words

    host, port = bind.rsplit(":", 1)
    server = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def shifted(address: str, by: int) -> str:
    host, port = address.rsplit(":", 1)
    return f"{host}:{int(port) + by}"


if __name__ == "__main__":
    sys.exit(main())

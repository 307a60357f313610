"""Many connections with one request outstanding each, over raw sockets; run as a process.

``python -m benchmarks.load_generator PROTOCOL PORT CONNECTIONS SECONDS KEYS`` with PROTOCOL ``dax``
or ``redis``. Prints one JSON object: ``requests``, ``seconds``, and percentiles of the latency in
microseconds. It is the client of both servers that a comparison looks at, so that whatever it costs
is the same for both. Only the servers' CPU time is to be compared: this process has the other core.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time

PREAMBLE = bytes.fromhex("674a37796e6535470050") + bytes(16) + b"\xa1\x69UserAgent\x65bench\x00"
TABLE = b"bench"
PLAIN = b"\xbf\x03\x00\xff"


def dax_request(key: str) -> bytes:
    name = key.encode()
    assert len(name) < 24
    return (
        bytes.fromhex("011a0fb0cc6a")
        + bytes([0x40 + len(TABLE)])
        + TABLE
        + bytes([0x40 + len(name)])
        + name
        + PLAIN
    )


def redis_request(key: str) -> bytes:
    return f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode()


def key_name(number: int) -> str:
    return f"key:{number:012d}"


def run(protocol: str, port: int, connections: int, seconds: float, keys: int) -> dict[str, float]:
    make = dax_request if protocol == "dax" else redis_request
    requests = [make(key_name(number)) for number in range(keys)]
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if protocol == "dax":
            one.sendall(PREAMBLE)
        sockets[one.fileno()] = one
        epoll.register(one.fileno(), select.EPOLLIN)
    length = _reply_length(next(iter(sockets.values())), requests[0])
    rng = random.Random(1)
    missing = dict.fromkeys(sockets, length)
    sent_at: dict[int, float] = {}
    latencies: list[float] = []
    begun = time.perf_counter()
    for fd, one in sockets.items():
        sent_at[fd] = time.perf_counter()
        one.sendall(rng.choice(requests))
    until = begun + seconds
    done = 0
    while (now := time.perf_counter()) < until:
        for fd, _ in epoll.poll(1.0):
            data = sockets[fd].recv(65536)
            if not data:
                raise SystemExit("the server closed a connection")
            missing[fd] -= len(data)
            if missing[fd] > 0:
                continue
            if missing[fd] < 0:
                raise SystemExit("a reply was longer than the first one")
            done += 1
            now = time.perf_counter()
            latencies.append(now - sent_at[fd])
            missing[fd] = length
            sent_at[fd] = now
            sockets[fd].sendall(requests[rng.randrange(keys)])
    took = time.perf_counter() - begun
    latencies.sort()
    return {
        "requests": done,
        "seconds": took,
        "p50_us": 1e6 * latencies[len(latencies) // 2],
        "p99_us": 1e6 * latencies[len(latencies) * 99 // 100],
    }


def _reply_length(one: socket.socket, request: bytes) -> int:
    """All values are equally long, so all replies are; the first one tells how long."""
    one.sendall(request)
    one.settimeout(0.2)
    length = 0
    try:
        while data := one.recv(65536):
            length += len(data)
    except TimeoutError:
        pass
    one.settimeout(None)
    if length < 1000:
        raise SystemExit(f"a reply of {length} bytes is no hit")
    return length


if __name__ == "__main__":
    kind, port, connections, seconds, keys = sys.argv[1:]
    print(json.dumps(run(kind, int(port), int(connections), float(seconds), int(keys))))

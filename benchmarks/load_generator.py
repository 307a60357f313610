"""Many connections with one request outstanding each, over raw sockets; run as a process.

``python -m benchmarks.load_generator PROTOCOL PORT CONNECTIONS SECONDS KEYS`` with PROTOCOL
``dax``, ``http`` or ``redis``, or one of these with ``+tls``. Prints one JSON object: ``requests``,
``seconds``, and percentiles of the latency in microseconds. It is the client of both servers that a
comparison looks at, so that whatever it costs is the same for both. Only the servers' CPU time is
to be compared: this process has the other core.
"""

from __future__ import annotations

import json
import random
import select
import socket
import ssl
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


def http_request(key: str) -> bytes:
    """With the headers that boto3 sends."""
    body = json.dumps({"TableName": TABLE.decode(), "Key": {"id": {"S": key}}})
    return (
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:8141\r\nAccept-Encoding: identity\r\n"
        "X-Amz-Target: DynamoDB_20120810.GetItem\r\nContent-Type: application/x-amz-json-1.0\r\n"
        "User-Agent: Boto3/1.40.1 md/Botocore#1.40.1 ua/2.1 os/linux#6.1 md/arch#x86_64 "
        "lang/python#3.11.7 md/pyimpl#CPython m/Z,b,D cfg/retry-mode#legacy Botocore/1.40.1\r\n"
        "X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 "
        "Credential=AKIDEXAMPLE/20260101/us-east-1/dynamodb/aws4_request, "
        f"SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature={'0' * 64}\r\n"
        f"amz-sdk-invocation-id: {'0' * 36}\r\namz-sdk-request: attempt=1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


REQUESTS = {"dax": dax_request, "http": http_request, "redis": redis_request}


def key_name(number: int) -> str:
    return f"key:{number:012d}"


def connect(port: int, secure: bool) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not secure:
        return one
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what the server is, is not measured
    return context.wrap_socket(one)


def receive(one: socket.socket) -> bytes:
    data = one.recv(65536)
    while isinstance(one, ssl.SSLSocket) and one.pending():
        data += one.recv(65536)
    return data


def run(protocol: str, port: int, connections: int, seconds: float, keys: int) -> dict[str, float]:
    protocol, _, secure = protocol.partition("+")
    requests = [REQUESTS[protocol](key_name(number)) for number in range(keys)]
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(connections):
        one = connect(port, bool(secure))
        if protocol == "dax":
            one.sendall(PREAMBLE)
        sockets[one.fileno()] = one
        epoll.register(one.fileno(), select.EPOLLIN)
    length = _reply_length(next(iter(sockets.values())), requests[0])
    rng = random.Random(1)
    missing = dict.fromkeys(sockets, 0)
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
            data = receive(sockets[fd])
            if not data:
                raise SystemExit("the server closed a connection")
            if missing[fd] == 0:
                missing[fd] = _http_length(data) if protocol == "http" else length
            missing[fd] -= len(data)
            if missing[fd] > 0:
                continue
            if missing[fd] < 0:
                raise SystemExit("a reply was longer than it should be")
            done += 1
            now = time.perf_counter()
            latencies.append(now - sent_at[fd])
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


def _http_length(head: bytes) -> int:
    """Of the reply that begins with ``head``: checksums have eight to ten digits."""
    end = head.index(b"\r\n\r\n") + 4
    _, _, length = head[:end].partition(b"\r\nContent-Length: ")
    if b"x-paceline-cache: hit" not in head[:end]:
        raise SystemExit("a reply is no hit")
    return end + int(length[: length.index(b"\r")])


def _reply_length(one: socket.socket, request: bytes) -> int:
    """All values are equally long, so all replies of one kind but HTTP's are; the first one tells
    how long."""
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

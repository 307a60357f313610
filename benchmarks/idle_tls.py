"""Memory of a node's idle TLS connections.

    .venv/bin/python benchmarks/idle_tls.py [--connections N] [--by dax|http|both]

A node alone, in front of a fake DynamoDB. Each connection makes one request, so that it may stay
idle, and is then left alone; of "both" half are to each port. Exits with 1 if they take more than
30 KB each, and with 2 if the system allows too few open files.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import ssl
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.load import frames  # noqa: E402 - after the path, to run from a checkout
from benchmarks.suite.processes import rss_bytes  # noqa: E402
from benchmarks.suite.servers import cluster  # noqa: E402
from cluster.transport.descriptors import Demand  # noqa: E402
from paceline.dax.request_types import Endpoints  # noqa: E402
from paceline.dax.requests import encode_request  # noqa: E402
from paceline_local.certificates import development_files  # noqa: E402

AT_ONCE = 32
WARM = 64
SPARE_FILES = 300
LIMIT_BYTES = 30_000
ANSWER_S = 30.0
REQUESTS = {
    "dax": frames.preamble() + encode_request(Endpoints()),
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(port: int, request: bytes, context: ssl.SSLContext) -> Connection:
    """A connection that has had its first answer."""
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(request)
        if not await reader.read(65536):
            raise SystemExit("the node ended a connection")
    return reader, writer


async def hold(doors: Sequence[tuple[int, bytes]], count: int, pid: int) -> int:
    """Returns by how many bytes the process grew with ``count`` connections. ``doors``: ports, and
    what is asked there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    held: list[Connection] = []

    async def more(wanted: int) -> None:
        while len(held) < wanted:
            lot = min(AT_ONCE, wanted - len(held))
            new = (connected(*doors[at % len(doors)], context) for at in range(lot))
            try:
                held.extend(await asyncio.gather(*new))
            except (OSError, TimeoutError) as error:
                raise SystemExit(f"{len(held)} connections, and no more: {error!r}") from error

    await more(WARM)  # what is needed once is there then
    before = rss_bytes(pid)
    await more(WARM + count)
    grown = rss_bytes(pid) - before
    for _, writer in held:
        writer.transport.abort()
    return grown


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--by", choices=[*REQUESTS, "both"], default="both")
    options = parser.parse_args()
    by = list(REQUESTS) if options.by == "both" else [options.by]
    connections = -(-options.connections // len(by)) + WARM + AT_ONCE
    files = Demand(connections, servers=2).files + SPARE_FILES
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < files:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, most)))
        except (OSError, ValueError):
            print(f"{files} open files are needed, {most} allowed (ulimit -Hn)", file=sys.stderr)
            return 2
    settings = {"PACELINE_CONNECTIONS_MAX": str(connections)}
    with tempfile.TemporaryDirectory() as folder:
        tls = development_files(Path(folder) / "tls")
        with cluster(1, tls, settings=settings) as server:
            (pid,) = server.pids.values()
            doors = [(server.ports[f"{name}+tls"][0], REQUESTS[name]) for name in by]
            grown = asyncio.run(hold(doors, options.connections, pid))
    each = grown / options.connections
    print(f"{options.connections} by {options.by}: {grown / 1e6:.0f} MB, {each / 1e3:.1f} KB each")
    return 0 if each <= LIMIT_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())

"""Which port each program of a one-machine cluster has, and whether they can be had.

Everything is counted from one base port P: the embedded DynamoDB has P, discovery P+111 (DAX),
P+112 (gRPC) and P+113 (HTTP: AWS's own services), node i (from 1) P+120+i (DAX), P+140+i
(DynamoDB's HTTP API), P+160+i (gRPC), P+180+i (consensus) and P+200+i (admin). With TLS, discovery
and the nodes' ports for clients are opened once more, 1000 higher.
"""

import contextlib
import errno
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from paceline.errors import ConfigError

BASE_PORT_DEFAULT = 8000
NODES_MAX = 11
"""A twelfth node would want the ports of the next front end less than twenty away; eleven is also
more than a majority protocol is good for."""
TLS_OFFSET = 1000
BASE_PORT_MIN = 1
BASE_PORT_MAX = 65535 - TLS_OFFSET - 200 - NODES_MAX
"""The highest base that leaves room for the ports with TLS."""

LOOPBACK = "127.0.0.1"

_HOLDER_LOOKUP_S = 2.0
_CONFLICTS_SHOWN = 3
"""The most conflicts shown. Mostly another cluster is in the way, which holds them all."""


@dataclass(frozen=True, slots=True)
class NodePorts:
    dax: int
    http: int
    grpc: int
    consensus: int
    admin: int

    @property
    def dax_tls(self) -> int:
        return self.dax + TLS_OFFSET

    @property
    def https(self) -> int:
        return self.http + TLS_OFFSET

    @property
    def grpc_tls(self) -> int:
        return self.grpc + TLS_OFFSET


@dataclass(frozen=True, slots=True)
class Ports:
    base: int

    @property
    def dynamodb(self) -> int:
        return self.base

    @property
    def discovery_dax(self) -> int:
        return self.base + 111

    @property
    def discovery_grpc(self) -> int:
        return self.base + 112

    @property
    def discovery_http(self) -> int:
        return self.base + 113

    @property
    def discovery_dax_tls(self) -> int:
        return self.discovery_dax + TLS_OFFSET

    @property
    def discovery_grpc_tls(self) -> int:
        return self.discovery_grpc + TLS_OFFSET

    @property
    def discovery_https(self) -> int:
        return self.discovery_http + TLS_OFFSET

    def node(self, number: int) -> NodePorts:
        """The ports of node ``number``, counted from 1."""
        return NodePorts(
            dax=self.base + 120 + number,
            http=self.base + 140 + number,
            grpc=self.base + 160 + number,
            consensus=self.base + 180 + number,
            admin=self.base + 200 + number,
        )


def make_ports(base: int) -> Ports:
    if not BASE_PORT_MIN <= base <= BASE_PORT_MAX:
        raise ConfigError(
            f"base port {base} is out of range: choose one from {BASE_PORT_MIN} to {BASE_PORT_MAX}"
        )
    return Ports(base)


FREE_BASE_MIN = 10_000
FREE_BASE_MAX = 31_000
"""The highest base chosen, below the ports that Linux (from 32768) and macOS (from 49152) give to
outgoing connections."""
_FREE_BASE_STEP = 250
"""More than one cluster counts on from its base, so that two chosen bases are the same or apart."""
_FREE_BASE_TRIES = 100


def free_base_port(wanted: Callable[[int], Iterable[int]]) -> int:
    """A base at which every port that ``wanted`` names for it is free now. Not reserved: whoever
    starts something there must be ready to try another one."""
    steps = (FREE_BASE_MAX - FREE_BASE_MIN) // _FREE_BASE_STEP
    for _ in range(_FREE_BASE_TRIES):
        # By chance, so that several who choose at once do not meet.
        base = FREE_BASE_MIN + secrets.randbelow(steps) * _FREE_BASE_STEP
        if all(_bind_error(port) is None for port in wanted(base)):
            return base
    raise ConfigError(
        f"no free range of ports was found from {FREE_BASE_MIN} to {FREE_BASE_MAX}: stop clusters "
        "that are no longer needed, or choose one with --base-port"
    )


def check_free(wanted: Iterable[tuple[str, int]], host: str = LOOPBACK) -> None:
    """Raise ConfigError unless every (purpose, port) can be bound on ``host`` right now.

    All of them are looked at before anything is started, so that a conflict leaves nothing
    half-started behind. The error names the first few conflicts.
    """
    conflicts = conflicts_of(wanted, host)
    if not conflicts:
        return
    shown = "; ".join(conflicts[:_CONFLICTS_SHOWN])
    left = len(conflicts) - _CONFLICTS_SHOWN
    more = f"; and {left} more" if left > 0 else ""
    raise ConfigError(
        f"{shown}{more}. Stop what holds them, or choose other ports with --base-port "
        "(at least 2000 apart from another cluster's)"
    )


def conflicts_of(wanted: Iterable[tuple[str, int]], host: str = LOOPBACK) -> list[str]:
    """What of (purpose, port) cannot be bound on ``host`` right now, and why, for a person."""
    at = "" if host == LOOPBACK else f" of {host}"
    conflicts = []
    for purpose, port in wanted:
        error = _bind_error(port, host)
        if error is None:
            continue
        if error.errno == errno.EADDRINUSE:
            holder = find_holder(port, host)
            by = f" by {holder}" if holder else ""
            conflicts.append(f"port {port}{at} ({purpose}) is in use{by}")
        else:
            conflicts.append(f"port {port}{at} ({purpose}) cannot be bound: {error.strerror}")
    return conflicts


def is_own_address(host: str) -> bool:
    """Whether something could listen there at all: macOS has 127.0.0.1 alone."""
    error = _bind_error(0, host)
    return error is None or error.errno != errno.EADDRNOTAVAIL


def _bind_error(port: int, host: str = LOOPBACK) -> OSError | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers bind: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # macOS lets a second socket bind beside a listening one; listening is what fails.
            probe.listen(1)
        except OSError as error:
            return error
    return None


def find_holder(port: int, host: str = LOOPBACK) -> str | None:
    """Who listens on ``port`` of ``host``, as "NAME (pid N)"; None where the system does not
    tell."""
    proc = Path("/proc/net/tcp")
    if proc.exists():
        return _holder_from_proc(port, host)
    return _holder_from_lsof(port)


def _holder_from_proc(port: int, host: str) -> str | None:
    listening = "0A"
    # As the table has it: the four bytes in this machine's order. Or every address.
    number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    hosts = {f"{number:08X}", "00000000"}
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, at = fields[1].rpartition(":")
            here = address in hosts or table.name == "tcp6"
            if fields[3] == listening and int(at, 16) == port and here:
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        # Processes end while they are looked at, and those of other users refuse.
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return f"{_command_of(process)} (pid {process.name})"
    return None


def _command_of(process: Path) -> str:
    words = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    texts = [word.decode(errors="replace") for word in words[:6]]
    return " ".join([Path(texts[0]).name, *texts[1:]]).strip()[:60] or "a process"


def _holder_from_lsof(port: int) -> str | None:
    lsof = shutil.which("lsof")
    if lsof is None:
        return None
    try:
        found = subprocess.run(
            [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],
            capture_output=True,
            text=True,
            timeout=_HOLDER_LOOKUP_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    facts = {line[0]: line[1:] for line in found.splitlines() if line}
    return f"{facts.get('c', '?')} (pid {facts['p']})" if "p" in facts else None

"""Divides the file descriptors at the start, so that no port can starve another one."""

from __future__ import annotations

import logging
import resource
from dataclasses import dataclass

import structlog

from paceline.errors import ConfigError

OWN = 192
"""For the log and ways to other members (64), the admin port (64), and what a process has open
anyway."""
LINGERING_MAX = 256
"""Connections that a front end refuses and waits for, besides those it serves."""
CONNECTIONS_MIN = 16
"""With fewer connections a node is of no use to clients."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Demand:
    """What a program may have open. ``servers``: front ends with ``connections_max`` each."""

    connections_max: int
    servers: int
    upstream: int = 0
    """The number of connections to DynamoDB."""
    grpc_connections: int = 1024
    """Of all ports of gRPC together, which has a limit of its own for each
    (``LimitsSettings.grpc_connections_max``; ``members_server.CONNECTIONS_MAX``), and pauses when
    descriptors run out."""
    wanted: bool = True
    """True if the operator asked for this number; else it is a default that may be reduced."""

    @property
    def files(self) -> int:
        """The number of open files with which nothing has to be reduced."""
        each = self.connections_max + min(LINGERING_MAX, self.connections_max)
        return OWN + self.upstream + self.grpc_connections + self.servers * each

    def connections_within(self, files_max: int) -> int:
        """``connections_max`` of each front end if so many files may be open; at least 0."""
        left = max(0, files_max - OWN - self.upstream)
        each = (left - min(self.grpc_connections, left // 4)) // self.servers
        return min(self.connections_max, each - min(LINGERING_MAX, (each + 1) // 2))


def fit_connections(demand: Demand) -> int:
    """Raises this process's limit on open files as far as it is wanted and allowed, and says how
    many connections each front end may have. ConfigError if they would be next to none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files_max = soft
    if soft != resource.RLIM_INFINITY and soft < demand.files:
        wanted = demand.files if hard == resource.RLIM_INFINITY else min(demand.files, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            files_max = wanted
        except (OSError, ValueError):
            pass  # macOS has a limit of its own below an infinite one
    if files_max == resource.RLIM_INFINITY:
        return demand.connections_max
    fitting = demand.connections_within(files_max)
    if fitting < min(CONNECTIONS_MIN, demand.connections_max):
        raise ConfigError(
            f"only {files_max} files may be open, which leaves {max(0, fitting)} client "
            f"connections; raise `ulimit -n` to {demand.files}"
        )
    if fitting < demand.connections_max:
        _log.log(
            logging.WARNING if demand.wanted else logging.INFO,
            "fewer client connections than configured; raise `ulimit -n`",
            connections_max=fitting,
            configured=demand.connections_max,
            files_max=files_max,
            files_wanted=demand.files,
        )
    return fitting

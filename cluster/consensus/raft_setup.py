"""How pysyncobj is set up: timings, where to listen, what becomes of its log lines."""

from __future__ import annotations

import _socket
import logging
import socket
from collections.abc import Callable
from typing import Any

import structlog
from pysyncobj import SyncObjConf

from cluster.consensus.interface import PROPOSALS_MAX
from paceline.errors import ConfigError

# pysyncobj brings its own versions for an old Windows and puts them in on every platform; they
# break other users of these functions in the process.
socket.inet_ntop = _socket.inet_ntop
socket.inet_pton = _socket.inet_pton

_log = structlog.get_logger()

TIMINGS: dict[str, Any] = {
    # Measured: a median of 0.7 s from kill -9 to a new leader, no election on a machine whose
    # cores are all busy. Twice as fast gives elections under load for no reason.
    "appendEntriesPeriod": 0.1,
    "raftMinTimeout": 0.5,
    "raftMaxTimeout": 1.0,
    "connectionTimeout": 1.5,
    "connectionRetryTime": 0.5,
    "leaderFallbackTimeout": 1.0,
    "appendEntriesUseBatch": False,
}


def configuration(
    *,
    bind: str,
    password: str,
    journal: str,
    dump: str,
    tick_s: float,
    compact_entries: int,
    state_changed: Callable[[int, int], None],
) -> SyncObjConf:
    """Ticks are driven by the caller; a bind that fails is not repeated."""
    return SyncObjConf(
        autoTick=False,
        autoTickPeriod=tick_s,
        password=password,  # the wire is pickle: without it, any sender could run code here
        bindAddress=bind,  # else 0.0.0.0, whatever the node's own address says
        maxBindRetries=1,
        commandsQueueSize=2 * PROPOSALS_MAX,
        commandsWaitLeader=False,
        dynamicMembershipChange=True,
        journalFile=journal,
        fullDumpFile=dump,
        useFork=False,  # forking a process with threads (gRPC's) can hang the child
        logCompactionMinEntries=compact_entries,
        onStateChanged=state_changed,
        **TIMINGS,
    )


def split_address(address: str, what: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"the {what} must be host:port, not {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def resolve_bind(bind: tuple[str, int]) -> str:
    try:
        found = socket.getaddrinfo(bind[0], bind[1], type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(
            f"the consensus bind address {bind[0]!r} cannot be resolved: {error.strerror}"
        ) from error
    return str(found[0][4][0])


def check_bind(host: str, bind: tuple[str, int]) -> None:
    """Before any file is touched, and with a better message than pysyncobj's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, bind[1]))
        except OSError as error:
            raise bind_failed(bind, error) from error


def bind_failed(bind: tuple[str, int], error: OSError | None) -> ConfigError:
    why = "unknown reason" if error is None else error.strerror
    return ConfigError(
        f"cannot listen on consensus port {bind[1]} of {bind[0]}: {why}; stop what uses it or "
        "set PACELINE_CONSENSUS_BIND"
    )


class _ToStructlog(logging.Handler):
    """pysyncobj's log, at its real weight. Its critical 'truncating already-applied log entries'
    comes whenever a batch is sent twice and was never seen to matter; errors do."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "warning" if record.levelno == logging.ERROR else "debug"
        getattr(_log, level)("pysyncobj", message=record.getMessage())


def quiet_pysyncobj() -> None:
    logger = logging.getLogger("pysyncobj")
    logger.propagate = False
    if not any(isinstance(handler, _ToStructlog) for handler in logger.handlers):
        logger.addHandler(_ToStructlog())

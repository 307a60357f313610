"""The request log: a line about each request, or about some, in memory, in a file or on stdout."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from cluster.access.calling import call
from cluster.iso_times import millisecond_text
from cluster.service.lifecycle import Lifecycle
from cluster.service.line_writer import LineWriter, lines_at
from cluster.settings import NodeSettings, RequestLogSettings
from cluster.transport.origin import Origin, origin
from node.requests.counts import End
from node.requests.draws import Draws
from node.requests.log_lines import (
    Ended,
    Sampling,
    bounded,
    index_of,
    key_of,
    record_of,
    units_of,
)
from paceline.clock import wall_time
from paceline.types import Params

SETTING = "PACELINE_REQUEST_LOG__FILE"

_NOWHERE = Origin()


class RequestLog:
    """One per node. ``recent``: the last ones, youngest last. Lines are made of them when somebody
    wants some, or by the thread that writes them: no request waits for that."""

    def __init__(
        self,
        settings: RequestLogSettings,
        node: str,
        wall_clock: Callable[[], float] = wall_time,
    ) -> None:
        """ConfigError: the file cannot be written."""
        self._node = node
        self._wall_clock = wall_clock
        self._as_events = settings.format == "cloudwatch"
        self.sampling = Sampling(settings.sample, settings.slow_ms / 1000)
        self._keys_of = frozenset(settings.keys_of)
        self.recent: deque[Ended] = deque(maxlen=settings.recent)
        self.told = 0
        """Lines, since the node has started."""
        self._draws = Draws()
        self.writer: LineWriter[Ended] | None = None
        if settings.file is not None:
            most = settings.bytes_max, settings.files_max
            lines = lines_at(settings.file, *most, SETTING)
            self.writer = LineWriter("request log", lines, self._made)

    def ended(
        self,
        label: tuple[str, str, str],
        end: End,
        took_s: float,
        *,
        cache: str = "",
        why: str = "",
        error: str = "",
        params: Params | None = None,
        result: Mapping[str, Any] | None = None,
        times: int = 1,
    ) -> None:
        """A request is over, now. ``label``: its operation, table and protocol."""
        sampling = self.sampling
        stands_for = sampling.stands_for(took_s, end, self._draws.next(), times)
        if stands_for is None:
            return
        operation, table, protocol = label
        by, came = call.get(), origin.get() or _NOWHERE
        one = Ended(
            began_at=self._wall_clock() - took_s,
            took_s=took_s,
            protocol=protocol,
            operation=bounded(operation),
            table=bounded(table),
            end=end,
            cache=cache,
            why=why,
            error=bounded(error),
            principal="" if by is None else by.by.principal.arn,
            address=came.address,
            trace=came.trace,
            index_name=bounded(index_of(params)),
            units=units_of(result),
            key=key_of(params, self._keys_of),
            is_slow=sampling.is_slow(took_s),
            stands_for=stands_for,
        )
        self.recent.append(one)
        self.told += 1
        writer = self.writer
        if writer is not None:
            if writer.is_full:
                writer.lose("dropped")
            else:
                writer.put(one)

    @classmethod
    def started(cls, lifecycle: Lifecycle, settings: NodeSettings) -> RequestLog:
        """It ends with the node. ConfigError: the file cannot be written."""
        log = cls(settings.request_log, settings.node_id)
        if log.writer is not None:
            log.writer.start()
            lifecycle.push("request log", log.writer.stop)
        return log

    def _made(self, batch: list[Ended], lost: Mapping[str, int]) -> bytes:
        told = [record_of(one) for one in batch]
        if lost:
            told.insert(0, {"time": millisecond_text(self._wall_clock()), "lost": dict(lost)})
        return b"".join(self._line({"log": "request", "node": self._node, **one}) for one in told)

    def _line(self, told: Mapping[str, Any]) -> bytes:
        text = json.dumps(told, separators=(",", ":"))
        if self._as_events:
            at = int(1000 * self._wall_clock())
            text = json.dumps({"timestamp": at, "message": text}, separators=(",", ":"))
        return text.encode() + b"\n"

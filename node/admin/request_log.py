"""Operators' command that tells the last lines of the request log, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from cluster.service.commands import AdminCommand
from cluster.service.metrics import LabelledCounter, Series
from node.request_log import RequestLog
from node.requests.log_lines import record_of
from paceline.errors import RequestError

LINES_MAX = 1000


class RequestLogCommand:
    def __init__(self, log: RequestLog) -> None:
        self._log = log

    @property
    def commands(self) -> Mapping[str, AdminCommand]:
        """By the path of their POST."""
        return {"/request-log": self.tell}

    async def tell(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``after``: a place in the log, 0 at first. Returns the lines since then, at most the last
        thousand, oldest first, and ``next``, the place after them."""
        log, after = self._log, _number(query.get("after", "0"))
        new = min(max(log.told - after, 0), len(log.recent), LINES_MAX)
        last = islice(log.recent, len(log.recent) - new, None)
        lines = [record_of(one) for one in last]
        return {"next": log.told, "lines": lines}

    def as_dict(self) -> dict[str, Any]:
        writer = self._log.writer
        return {"lines": self._log.told, **({} if writer is None else writer.as_dict())}

    def series(self) -> list[Series]:
        writer = self._log.writer
        if writer is None:
            return []
        return [
            LabelledCounter(
                "request_log_lines",
                "Lines of the request log, by what became of them",
                ("result",),
                writer.items,
            )
        ]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RequestError("ValidationException", "after is a number")
    return int(text)

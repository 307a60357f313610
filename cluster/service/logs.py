"""Logs: one JSON object per line, from structlog and from libraries alike."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog

from cluster.service.log_limits import LogLimits
from paceline.clock import now

Level = Literal["debug", "info", "warning", "error"]

_QUIET = ("asyncio", "aiohttp.access", "botocore", "aiobotocore", "urllib3")
"""Libraries that tell every step at info or debug level; only their warnings matter here."""


def configure_logs(program: str, level: Level = "info", stream: TextIO | None = None) -> None:
    """Sends everything to ``stream`` (stdout): what is logged through structlog, through
    ``logging``, and warnings. Each line names the ``program``, e.g. a node's id. Of lines of one
    kind only so many are written (see ``log_limits``)."""
    limits = LogLimits(now)
    threshold = logging.getLevelNamesMapping()[level.upper()]

    def name_program(
        logger: object, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        event.setdefault("program", program)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        name_program,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(limits)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            limits.process,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )

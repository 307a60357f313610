"""What production code takes from the process around it, replaced for the length of one run:
clock, chance, logs. Everything else reaches it through its constructors."""

from __future__ import annotations

import gc
import random
import secrets
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from unittest import mock

import structlog

from paceline import clock
from tests.simulation.loop import VirtualLoop, current_owner

PACKAGES = ("cluster", "node")

Note = Callable[[str], None]
Expected = Callable[[str, Mapping[str, object]], bool]
"""Of an error that a node logs: what happened, and more about it."""


class Log:
    """In the place of structlog's loggers. Errors are complaints, but for those that are
    ``expected``: no run may have any."""

    def __init__(
        self, loop: VirtualLoop, note: Note | None, count: Note, expected: Expected
    ) -> None:
        self._expected = expected
        self._loop = loop
        self._note = note
        self._count = count

    def debug(self, event: str, **values: object) -> None:
        if self._note is not None:
            self._note(_told(event, values))

    def info(self, event: str, **values: object) -> None:
        self._count(f"said: {event}")
        self.debug(event, **values)

    warning = info

    def error(self, event: str, **values: object) -> None:
        if self._expected(event, values):
            self.info(event, **values)
            return
        error = sys.exc_info()[1]
        text = f"{_told(event, values)}{'' if error is None else f': {error!r}'}"
        self._loop.complaints.append(f"{self._loop.t:.3f} {text}")
        if self._note is not None:
            self._note(text)

    exception = critical = error


def _told(event: str, values: dict[str, object]) -> str:
    told = " ".join(f"{name}={value}" for name, value in values.items())
    return f"{current_owner().name}: {event}{' ' if told else ''}{told}"


@contextmanager
def patched(
    loop: VirtualLoop,
    rng: random.Random,
    note: Note | None,
    count: Note,
    expected: Expected = lambda event, values: False,
) -> Iterator[None]:
    """``count`` is told of each event that nodes log at info level or above.

    Garbage is not collected meanwhile: it would end forgotten coroutines at times that depend
    on what ran before. Whoever runs it collects it afterwards."""
    log = Log(loop, note, count, expected)
    collecting = gc.isenabled()
    gc.disable()
    loggers = _loggers()
    for module, name, _ in loggers:
        setattr(module, name, log)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(clock, "time", _Time(loop)))
        stack.enter_context(
            mock.patch.object(secrets, "token_hex", lambda size=32: rng.randbytes(size).hex())
        )
        stack.enter_context(mock.patch.object(uuid, "uuid4", _ids(rng)))
        try:
            yield
        finally:
            for module, name, logger in loggers:
                setattr(module, name, logger)
            if collecting:
                gc.enable()


class _Time:
    """In the place of the module that ``paceline.clock`` reads the clocks with, so that it does not
    matter who holds a reference to its functions, and where: one that kept the true clock as a
    default of a parameter made seeds go another way each time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def clock_gettime(self, clock_id: int) -> float:
        return self._loop.turn_of.clock()

    def time(self) -> float:
        return BEGIN_S + self._loop.t


BEGIN_S = 1_700_000_000.0
"""The wall time at which every run begins."""


def _ids(rng: random.Random) -> Callable[[], uuid.UUID]:
    return lambda: uuid.UUID(bytes=rng.randbytes(16))


_LOGGERS: list[tuple[ModuleType, str, object]] = []
_SEEN: set[str] = set()


def _loggers() -> list[tuple[ModuleType, str, object]]:
    """(module, name, logger) of every logger. Looks at modules that were imported since it was
    last asked."""
    for name, module in list(sys.modules.items()):
        if name in _SEEN or name.partition(".")[0] not in PACKAGES:
            continue
        _SEEN.add(name)
        for attribute, value in list(vars(module).items()):
            if isinstance(value, structlog._config.BoundLoggerLazyProxy):
                _LOGGERS.append((module, attribute, value))
    return _LOGGERS

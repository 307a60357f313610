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
from typing import Any
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
    for where, name, kind in _points():
        _put(where, name, log if kind == "log" else loop.time)
    with ExitStack() as stack:
        stack.enter_context(
            mock.patch.object(secrets, "token_hex", lambda size=32: rng.randbytes(size).hex())
        )
        stack.enter_context(mock.patch.object(uuid, "uuid4", _ids(rng)))
        try:
            yield
        finally:
            for where, name, kind in _points():
                _put(where, name, _LOGS[id(where), name] if kind == "log" else _CLOCK)
            if collecting:
                gc.enable()


def _put(where: Any, name: str, what: object) -> None:
    if isinstance(where, dict):
        where[name] = what
    else:
        setattr(where, name, what)


def _ids(rng: random.Random) -> Callable[[], uuid.UUID]:
    return lambda: uuid.UUID(bytes=rng.randbytes(16))


_CLOCK = clock.now
_POINTS: list[tuple[Any, str, str]] = []
_LOGS: dict[tuple[int, str], object] = {}
_SEEN: set[str] = set()


def _points() -> list[tuple[Any, str, str]]:
    """(where, name, kind) of every reference to the clock and of every logger. Looks at modules
    that were imported since it was last asked."""
    if clock.__name__ not in _SEEN:
        _SEEN.add(clock.__name__)
        _POINTS.append((clock, "now", "clock"))
    for name, module in list(sys.modules.items()):
        if name in _SEEN or name.partition(".")[0] not in PACKAGES:
            continue
        _SEEN.add(name)
        for attribute, value in list(vars(module).items()):
            if value is _CLOCK:
                _POINTS.append((module, attribute, "clock"))
            elif isinstance(value, structlog._config.BoundLoggerLazyProxy):
                _POINTS.append((module, attribute, "log"))
                _LOGS[id(module), attribute] = value
            elif isinstance(value, type) and value.__module__ == name:
                for function in vars(value).values():
                    defaults = getattr(function, "__kwdefaults__", None) or {}
                    _POINTS.extend(
                        (defaults, key, "clock") for key, now in defaults.items() if now is _CLOCK
                    )
    return _POINTS

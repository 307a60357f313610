"""What production code takes from the process around it, replaced for the length of one run:
clock, chance, logs. Everything else reaches it through its constructors."""

from __future__ import annotations

import gc
import random
import secrets
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import structlog

from paceline import clock
from tests.simulation.loop import VirtualLoop, current_owner

PACKAGES = ("cluster", "node")

Note = Callable[[str], None]


class Log:
    """In the place of structlog's loggers. Errors are complaints: no run may have any."""

    def __init__(self, loop: VirtualLoop, note: Note | None) -> None:
        self._loop = loop
        self._note = note

    def debug(self, event: str, **values: object) -> None:
        if self._note is not None:
            self._note(_told(event, values))

    info = warning = debug

    def error(self, event: str, **values: object) -> None:
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
def patched(loop: VirtualLoop, rng: random.Random, note: Note | None) -> Iterator[None]:
    """Garbage is not collected meanwhile: it would end forgotten coroutines at times that depend
    on what ran before."""
    log = Log(loop, note)
    collecting = gc.isenabled()
    gc.disable()
    with ExitStack() as stack:
        for owner, name, kind in _points():
            if kind == "clock":
                stack.enter_context(mock.patch.object(owner, name, loop.time))
            elif kind == "log":
                stack.enter_context(mock.patch.object(owner, name, log))
            else:
                stack.enter_context(mock.patch.dict(owner.__kwdefaults__, {name: loop.time}))
        stack.enter_context(
            mock.patch.object(secrets, "token_hex", lambda size=32: rng.randbytes(size).hex())
        )
        stack.enter_context(mock.patch.object(uuid, "uuid4", _ids(rng)))
        try:
            yield
        finally:
            if collecting:
                gc.enable()


def _ids(rng: random.Random) -> Callable[[], uuid.UUID]:
    return lambda: uuid.UUID(bytes=rng.randbytes(16))


def _points() -> list[tuple[Any, str, str]]:
    """(where, name, kind) of every reference to the clock and of every logger."""
    points: list[tuple[Any, str, str]] = [(clock, "now", "clock")]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in PACKAGES:
            continue
        for attribute, value in list(vars(module).items()):
            if value is clock.now:
                points.append((module, attribute, "clock"))
            elif isinstance(value, structlog._config.BoundLoggerLazyProxy):
                points.append((module, attribute, "log"))
            elif isinstance(value, type) and value.__module__ == name:
                for function in vars(value).values():
                    defaults = getattr(function, "__kwdefaults__", None) or {}
                    points += [
                        (function, key, "default")
                        for key, default in defaults.items()
                        if default is clock.now
                    ]
    return points

"""A rule left out of the production code: a text of one function replaced, for the length of a run.

A plant names the function and the text, neither lines nor what is around them, so it outlives
moves. The changed source is compiled, and its code put in the place of the function's own: so
whoever has imported the function by name runs it too. A text that is not there exactly once is an
error, since a plant that changes nothing would prove nothing.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any


class DoesNotApply(Exception):
    """The plant does not fit the source any more: there is no such function, or no such text."""


@dataclass(frozen=True)
class Change:
    """``where``: ``module:function`` or ``module:Class.method``; ``old`` is there once. Texts are
    those of the function with its first line at the margin."""

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Plant:
    """``sentence``: what docs/coherence.md says and the change breaks. ``world``: by its name,
    the one in which it shows. ``limits``: constants that are made small for the run, by
    ``module:NAME``; alone they must not break anything.

    ``unseen``: why no world shows it: 'equivalent: ...' or 'hole: ...'. Such a plant is only
    checked to apply."""

    name: str
    where: str
    old: str
    new: str
    world: str
    sentence: str
    also: tuple[Change, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    unseen: str = ""

    @property
    def changes(self) -> tuple[Change, ...]:
        return Change(self.where, self.old, self.new), *self.also

    @contextmanager
    def planted(self) -> Iterator[None]:
        with changed(self.changes), lowered(self.limits):
            yield


@contextmanager
def changed(changes: Iterable[Change]) -> Iterator[None]:
    """Runs the changed code everywhere, until the end. DoesNotApply before anything is changed."""
    made: list[tuple[FunctionType, CodeType, Callable[[], None]]] = []
    for change in changes:
        function, forget = find(change.where)
        if any(function is other for other, _, _ in made):
            raise DoesNotApply(f"{change.where} is changed twice by one plant")
        made.append((function, code_of(change, function), forget))
    before = [function.__code__ for function, _, _ in made]
    try:
        for function, code, forget in made:
            function.__code__ = code
            forget()
        yield
    finally:
        for (function, _, forget), code in zip(made, before, strict=True):
            function.__code__ = code
            forget()


@contextmanager
def lowered(limits: Mapping[str, int]) -> Iterator[None]:
    """Other values of constants, as their own module sees them."""
    before: list[tuple[Any, str, Any]] = []
    try:
        for where, value in limits.items():
            module, name = _module(where)
            if not hasattr(module, name):
                raise DoesNotApply(f"there is no {where}")
            before.append((module, name, getattr(module, name)))
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def find(where: str) -> tuple[FunctionType, Callable[[], None]]:
    """The plain function under whatever decorates it, and what forgets results that it kept."""
    found, path = _module(where)
    for part in path.split("."):
        try:
            found = inspect.getattr_static(found, part)
        except AttributeError:
            raise DoesNotApply(f"there is no {where}") from None
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    forget = getattr(found, "cache_clear", lambda: None)
    found = inspect.unwrap(found)
    if not isinstance(found, FunctionType):
        raise DoesNotApply(f"{where} is no function")
    return found, forget


def source_of(function: FunctionType) -> str:
    return textwrap.dedent(inspect.getsource(function))


def code_of(change: Change, function: FunctionType) -> CodeType:
    """The function's code with the change made."""
    source = source_of(function)
    count = source.count(change.old)
    if count != 1:
        raise DoesNotApply(f"{change.where} has {change.old!r} {count} times, not once")
    return _compiled(function, source.replace(change.old, change.new))


def _compiled(function: FunctionType, source: str) -> CodeType:
    old = function.__code__
    lines = old.co_firstlineno - 1
    if old.co_freevars:
        # Names of the scope around it, ``__class__`` for super() among them.
        source = f"def _({', '.join(old.co_freevars)}):\n{textwrap.indent(source, '    ')}"
        lines -= 1
    try:
        whole = compile(
            "\n" * max(lines, 0) + source,
            old.co_filename,
            "exec",
            flags=annotations.compiler_flag,
            dont_inherit=True,
        )
    except SyntaxError as error:
        raise DoesNotApply(
            f"{function.__qualname__}, once changed, is no Python: {error}"
        ) from None
    for code in _inner(whole):
        if code.co_name == function.__name__ and code.co_freevars == old.co_freevars:
            return code.replace(co_qualname=old.co_qualname)
    raise DoesNotApply(f"{function.__qualname__}, once changed, uses other names around it")


def _inner(code: CodeType) -> Iterator[CodeType]:
    """The code of functions in ``code``, outer ones first."""
    found = [const for const in code.co_consts if isinstance(const, CodeType)]
    yield from found
    for inner in found:
        yield from _inner(inner)


def _module(where: str) -> tuple[Any, str]:
    name, _, path = where.partition(":")
    try:
        return importlib.import_module(name), path
    except ImportError:
        raise DoesNotApply(f"there is no module {name}") from None

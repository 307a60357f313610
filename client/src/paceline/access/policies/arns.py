"""Patterns of ARNs, and the ARNs of tables, indexes and streams. Pure.

An ARN has six parts between colons; the sixth may have colons itself. In the ``Resource`` of a
statement, wildcards match inside one part, the sixth with all its slashes and colons; but a ``*``
that ends a part also matches across the colons that follow it. The operators ``Arn…`` compare part
by part, always.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from paceline.access.policies.context import Context, is_of_caller
from paceline.access.policies.problems import Wrong, shown
from paceline.access.policies.templates import (
    MANY,
    Glob,
    Template,
    Token,
    Variable,
    filled,
    keys_of,
    parse,
)

PARTS: Final = 6

_ALLOWED = (
    "a resource is * or an ARN of six parts between colons, as in "
    "arn:aws:dynamodb:us-east-1:123456789012:table/Users"
)


def table_arn(partition: str, region: str, account: str, table: str) -> str:
    return f"arn:{partition}:dynamodb:{region}:{account}:table/{table}"


def index_arn(table: str, index: str) -> str:
    """``table`` is the table's ARN."""
    return f"{table}/index/{index}"


class ResourcePattern:
    """One entry of ``Resource`` or ``NotResource``."""

    __slots__ = ("_fixed", "_parts", "keys", "text")

    def __init__(self, text: str, *, variables: bool) -> None:
        """Raises Wrong."""
        self.text = text
        template = parse(text, variables=variables, wildcards=True)
        self._parts = tuple(_split(template))
        if template != (MANY,):
            self._refuse_no_arn()
        self.keys = keys_of(template)
        """Of the variables in it."""
        self._fixed = None if self.keys else tuple(map(_Part, self._parts))

    def _refuse_no_arn(self) -> None:
        whole = len(self._parts) == PARTS or any(part[-1:] == (MANY,) for part in self._parts)
        if not whole or self._parts[0] != ("arn",):
            raise Wrong(f"{shown(self.text)} is no ARN", _ALLOWED)
        if any(isinstance(token, Variable) for part in self._parts[:5] for token in part):
            raise Wrong(
                f"{shown(self.text)} has a variable before the fifth colon",
                "variables may stand only behind it",
            )

    def matches(self, arn: str, context: Context) -> bool:
        parts = self._fixed
        if parts is None:
            *before, last = self._parts
            resource = filled(last, context)
            if resource is None:
                return False
            parts = (*map(_Part, before), _Part(resource))
        return _match(parts, arn.split(":"))


class _Part:
    __slots__ = ("glob", "runs_on")

    def __init__(self, template: Template) -> None:
        self.glob = Glob(template)
        self.runs_on = bool(template) and template[-1] is MANY


def _match(parts: tuple[_Part, ...], pieces: list[str]) -> bool:
    """Whether the parts match the text between colons, all of it."""
    count = len(pieces)
    starts = {0}
    for part in parts[: PARTS - 1]:
        ends: set[int] = set()
        for start in starts:
            if start < count and part.glob.matches(pieces[start]):
                ends.update(range(start + 1, count + 1) if part.runs_on else (start + 1,))
        starts = ends
    if len(parts) < PARTS:
        return count in starts
    last = parts[-1].glob
    return any(start < count and last.matches(":".join(pieces[start:])) for start in starts)


def _split(template: Template) -> Iterator[Template]:
    """At its first five colons, those of literals."""
    part: list[Token] = []
    colons = 0
    for token in template:
        rest = token
        while isinstance(rest, str) and colons < PARTS - 1 and ":" in rest:
            before, _, rest = rest.partition(":")
            yield (*part, before) if before else tuple(part)
            part = []
            colons += 1
        if rest != "":
            part.append(rest)
    yield tuple(part)


class ArnPattern:
    """One value of ``ArnEquals`` and its kin. ``template`` None is like nothing."""

    __slots__ = ("_globs", "_template", "keys")

    exact: str | None = None
    """It is compared part by part, never as a whole."""

    def __init__(self, template: Template | None) -> None:
        self._template = template
        self.keys = () if template is None else keys_of(template)
        self._globs = None if self.keys else _globs(template or ())

    @classmethod
    def read(cls, text: str, *, variables: bool) -> ArnPattern:
        """Raises Wrong."""
        pattern = cls(parse(text, variables=variables, wildcards=True))
        if not pattern.keys and not pattern._globs:
            raise Wrong(f"{shown(text)} is no ARN", "the value is * or six parts between colons")
        return pattern

    def matches(self, arn: str, context: Context) -> bool:
        globs = self._globs
        if globs is None:
            globs = _globs(filled(self._template or (), context) or ())
        pieces = arn.split(":", PARTS - 1)
        if not globs or len(pieces) != PARTS:
            return False
        return all(glob.matches(piece) for glob, piece in zip(globs, pieces, strict=True))

    def settled(self, known: Context) -> ArnPattern:
        """With the values of its variables, if all of them are the caller's, as ``known`` has
        them."""
        if not self.keys or not all(map(is_of_caller, self.keys)):
            return self
        return ArnPattern(filled(self._template or (), known))


def _globs(template: Template) -> tuple[Glob, ...]:
    """() if it has other parts than an ARN. A lone ``*`` is any ARN."""
    parts = (template,) * PARTS if template == (MANY,) else tuple(_split(template))
    return tuple(map(Glob, parts)) if len(parts) == PARTS else ()

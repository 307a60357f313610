"""YAML and JSON with CloudFormation's tags, each value with the line it begins at. Pure.

PyYAML tells tokens; values are made of them here, because a template is to be bounded in depth and
number before anything is made, has lines in its errors, and reads scalars as CloudFormation does:
``2010-09-09`` is a text, ``yes`` is one, and so is ``0123``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from paceline_local.stacks.problems import Path, TemplateError, dotted

BYTES_MAX: Final = 1024 * 1024
"""CloudFormation's own limit for a template."""
VALUES_MAX: Final = 50_000
DEPTH_MAX: Final = 64

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?[0-9]{1,17}\.[0-9]{1,17}")
_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
_OF_YAML: Final = frozenset(
    f"tag:yaml.org,2002:{one}" for one in ("str", "int", "float", "bool", "null", "map", "seq")
)
_PLAIN: Final = frozenset({"Ref", "Condition"})
"""Short forms without ``Fn::``."""


@dataclass(frozen=True, slots=True)
class Located:
    """``value``: maps, lists, texts, numbers, truths and None; short forms of functions are written
    out. ``lines``: of each value and of each key, by its path."""

    value: Any
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int:
        """Of what is nearest above it, where nothing is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def explain(self, error: TemplateError, name: str) -> str:
        """``template.yaml:12: Resources.Cache: what is wrong``."""
        line = error.line or self.line_of(error.path)
        where = f"{dotted(error.path)}: " if error.path else ""
        return f"{name}:{line}: {where}{error}"


def read_template(data: bytes) -> Located:
    """TemplateError."""
    if len(data) > BYTES_MAX:
        raise TemplateError(f"a template has at most {BYTES_MAX} bytes, this one {len(data)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TemplateError(f"no UTF-8: {error.reason}", line=line) from None
    try:
        return _Builder(yaml.parse(_without_tabs(text), yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise TemplateError(f"no YAML: {error.problem or error.context}", line=line) from None
    except yaml.YAMLError as error:
        raise TemplateError(f"no YAML: {str(error).splitlines()[0]}", line=1) from None


def _without_tabs(text: str) -> str:
    """JSON may be indented with them, and YAML not. A text of JSON has none inside."""
    if "\t" in text and text.lstrip().startswith("{"):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text
        return text.replace("\t", " ")
    return text


class _Builder:
    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._lines: dict[Path, int] = {}
        self._values = 0

    def document(self) -> Located:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                break
        else:
            raise TemplateError("the template is empty", line=1)
        value = self._value(next(self._events), (), 0)
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise TemplateError("a second document begins", line=_line(event))
        return Located(value, self._lines)

    def _value(self, event: yaml.Event, path: Path, depth: int) -> Any:
        self._values += 1
        line = _line(event)
        self._lines.setdefault(path, line)
        if self._values > VALUES_MAX:
            raise TemplateError(f"a template has at most {VALUES_MAX} values", line=line)
        if depth > DEPTH_MAX:
            raise TemplateError(f"values are nested more than {DEPTH_MAX} deep", line=line)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise TemplateError("anchors and aliases are not read: write it out", line=line)
        tag = getattr(event, "tag", None)
        name = _function(tag, line)
        inner = path if name is None else (*path, name)
        if isinstance(event, yaml.ScalarEvent):
            is_text = event.style is not None or tag == "tag:yaml.org,2002:str" or name is not None
            value = event.value if is_text else _scalar(event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(inner, depth)
        else:
            value = self._map(inner, depth)
        if name is None:
            return value
        if name == "Fn::GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {name: value}

    def _list(self, path: Path, depth: int) -> list[Any]:
        values: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            values.append(self._value(event, (*path, len(values)), depth + 1))
        return values

    def _map(self, path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise TemplateError("a key is a text", path, line)
            key = event.value
            if key in values:
                raise TemplateError(f"the key {key} is there twice", path, line)
            self._lines[*path, key] = line
            values[key] = self._value(next(self._events), (*path, key), depth + 1)
        return values


def _function(tag: str | None, line: int) -> str | None:
    """The written-out name of a short form; None: the value has no tag of CloudFormation's."""
    if tag is None or tag == "!" or tag in _OF_YAML:
        return None
    name = tag.removeprefix("!")
    if not re.fullmatch(r"[A-Za-z0-9]{1,64}", name):
        raise TemplateError(f"unknown tag {tag[:64]}", line=line)
    return name if name in _PLAIN else f"Fn::{name}"


def _scalar(text: str) -> Any:
    small = text.lower() if text in ("True", "TRUE", "False", "FALSE", "Null", "NULL") else text
    if small in _WORDS:
        return _WORDS[small]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1

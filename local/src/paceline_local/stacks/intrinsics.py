"""Conditions and functions of a template, worked out. Pure.

What cannot be known before a resource is there is ``Later``, and so is a text with it inside.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from paceline_local.stacks.problems import Path, TemplateError
from paceline_local.stacks.template import variables_of, with_variables

SIZE_MAX: Final = 1024 * 1024
"""Of a text that functions make, in characters: Fn::Join and Fn::Sub may double and double."""


@dataclass(frozen=True, slots=True)
class Later:
    """``what``: the attribute that is not there yet, as ``Cache.Arn``."""

    what: str

    def __str__(self) -> str:
        return f"({self.what}, known once it is there)"


class _NoValue:
    """What ``AWS::NoValue`` refers to: the property is not there."""


NO_VALUE: Final = _NoValue()

Attribute = Callable[[str, str | None, Path], Any]
"""Of a resource, by its logical id; None: what Ref gives. TemplateError: there is none."""


class Resolver:
    """``values``: parameters and pseudo parameters by name."""

    def __init__(
        self,
        values: Mapping[str, Any],
        mappings: Mapping[str, Any],
        conditions: Mapping[str, Any],
        zones: Sequence[str],
        attribute: Attribute,
    ) -> None:
        self._values = values
        self._mappings = mappings
        self._conditions = conditions
        self._zones = zones
        self._attribute = attribute
        self._decided: dict[str, bool | None] = {}

    def holds(self, name: str, path: Path) -> bool:
        """TemplateError."""
        if name not in self._conditions:
            raise TemplateError(f"there is no condition {name}", path)
        if name not in self._decided:
            self._decided[name] = None
            self._decided[name] = self._truth(self._conditions[name], ("Conditions", name))
        decided = self._decided[name]
        if decided is None:
            raise TemplateError(f"the condition {name} needs itself", path)
        return decided

    def value(self, written: Any, path: Path) -> Any:
        """TemplateError. NO_VALUE: nothing is to be there."""
        if isinstance(written, list):
            found = [self.value(one, (*path, at)) for at, one in enumerate(written)]
            return [one for one in found if one is not NO_VALUE]
        if not isinstance(written, dict):
            return written
        if len(written) == 1:
            ((name, given),) = written.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return self._function(name, given, (*path, name))
        read = {key: self.value(one, (*path, key)) for key, one in written.items()}
        return {key: one for key, one in read.items() if one is not NO_VALUE}

    def _function(self, name: str, given: Any, path: Path) -> Any:
        if name == "Ref":
            return self._ref(self._text(given, path), path)
        if name == "Condition":
            return given  # a property of that name, as policies of IAM have it
        if name == "Fn::If":
            condition, yes, no = self._list(given, path, 3)
            chosen = 1 if self.holds(self._text(condition, path), path) else 2
            return self.value(yes if chosen == 1 else no, (*path, chosen))
        if name == "Fn::GetAtt":
            resource, attribute = self._list(given, path, 2)
            return self._attribute(self._text(resource, path), self._plain(attribute, path), path)
        if name == "Fn::Sub":
            return self._sub(given, path)
        if name == "Fn::GetAZs":
            return list(self._zones)
        if name in ("Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals"):
            raise TemplateError(f"{name} stands in Conditions alone", path)
        return self._worked_out(name, self.value(given, path), path)

    def _worked_out(self, name: str, given: Any, path: Path) -> Any:
        """Functions whose arguments are values."""
        if (later := later_in(given)) is not None:
            return later
        if name == "Fn::Join":
            by, parts = self._list(given, path, 2)
            texts = [self._plain(one, path) for one in self._list(parts, path)]
            return self._bounded(self._plain(by, path).join(texts), path)
        if name == "Fn::Split":
            by, text = self._list(given, path, 2)
            if not by:
                raise TemplateError("it is split by nothing", path)
            return self._plain(text, path).split(self._plain(by, path))
        if name == "Fn::Select":
            at, choices = self._list(given, path, 2)
            found = self._list(choices, path)
            if not str(at).isdigit() or int(at) >= len(found):
                raise TemplateError(f"there is no {at} of {len(found)}", path)
            return found[int(at)]
        if name == "Fn::FindInMap":
            return self._in_map(self._list(given, path, 3), path)
        if name == "Fn::Base64":
            return base64.b64encode(self._plain(given, path).encode()).decode()
        if name == "Fn::Length":
            return len(self._list(given, path))
        if name == "Fn::ToJsonString":
            return json.dumps(given, separators=(",", ":"))
        raise TemplateError(f"{name} is not worked out here", path)

    def _ref(self, name: str, path: Path) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        return self._values[name] if name in self._values else self._attribute(name, None, path)

    def _sub(self, given: Any, path: Path) -> Any:
        text, own = (given, {}) if isinstance(given, str) else self._list(given, path, 2)
        if not isinstance(text, str) or not isinstance(own, dict):
            raise TemplateError("it has a text, and may have a map besides", path)
        values: dict[str, str] = {}
        for name in variables_of(text):
            if name in own:
                found = self.value(own[name], (*path, 1, name))
            elif "." in name:
                resource, _, attribute = name.partition(".")
                found = self._attribute(resource, attribute, path)
            else:
                found = self._ref(name, path)
            if isinstance(found, Later):
                return found
            values[name] = self._plain(found, path)
        return self._bounded(with_variables(text, values), path)

    def _in_map(self, keys: Sequence[Any], path: Path) -> Any:
        found: Any = self._mappings
        for key in keys:
            if not isinstance(found, dict) or str(key) not in found:
                raise TemplateError(f"Mappings have no {'.'.join(map(str, keys))}", path)
            found = found[str(key)]
        return found

    def _truth(self, written: Any, path: Path) -> bool:
        if not isinstance(written, dict) or len(written) != 1:
            raise TemplateError("a condition is one function", path)
        ((name, given),) = written.items()
        inner = (*path, name)
        if name == "Condition":
            return self.holds(self._text(given, inner), inner)
        if name == "Fn::Equals":
            one, other = self._list(self.value(given, inner), inner, 2)
            return _comparable(one) == _comparable(other)
        if name not in ("Fn::And", "Fn::Or", "Fn::Not"):
            raise TemplateError(f"{name} is no function of conditions", path)
        truths = [self._truth(one, (*inner, at)) for at, one in enumerate(self._list(given, inner))]
        if name == "Fn::Not":
            if len(truths) != 1:
                raise TemplateError("it negates one condition", inner)
            return not truths[0]
        return all(truths) if name == "Fn::And" else any(truths)

    @staticmethod
    def _list(given: Any, path: Path, count: int | None = None) -> list[Any]:
        if not isinstance(given, list) or (count is not None and len(given) != count):
            raise TemplateError("it takes a list" + (f" of {count}" if count else ""), path)
        return given

    @staticmethod
    def _text(given: Any, path: Path) -> str:
        if not isinstance(given, str):
            raise TemplateError("a name is expected", path)
        return given

    @staticmethod
    def _plain(given: Any, path: Path) -> str:
        if isinstance(given, dict | list) or given is None or given is NO_VALUE:
            raise TemplateError("a text is expected", path)
        return text_of(given)

    @staticmethod
    def _bounded(text: str, path: Path) -> str:
        if len(text) > SIZE_MAX:
            raise TemplateError(f"it makes a text of more than {SIZE_MAX} characters", path)
        return text


def text_of(value: Any) -> str:
    """As CloudFormation writes numbers and truths."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def later_in(value: Any) -> Later | None:
    if isinstance(value, Later):
        return value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for one in parts if (found := later_in(one)) is not None), None)


def _comparable(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else text_of(value)

"""The values of a template's parameters, checked as CloudFormation does. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from paceline.errors import ConfigError
from paceline_local.stacks.problems import TemplateError

VALUE_CHARACTERS_MAX: Final = 4096
PATTERN_CHARACTERS_MAX: Final = 256
_SSM = "AWS::SSM::Parameter::Value<"
_KEY = re.compile(r"ParameterKey=([A-Za-z0-9]+),ParameterValue=(.*)", re.DOTALL)


def given_in(words: list[str]) -> dict[str, str]:
    """``Key=Value``, or ``ParameterKey=Key,ParameterValue=Value``. ConfigError."""
    given: dict[str, str] = {}
    for word in words:
        found = _KEY.fullmatch(word)
        key, equals, value = (found[1], "=", found[2]) if found else word.partition("=")
        if not equals or not key:
            raise ConfigError(f"{word[:64]!r} is no parameter: write NAME=VALUE")
        if key in given:
            raise ConfigError(f"the parameter {key} is given twice")
        given[key] = value
    return given


def given_in_file(read: Any) -> dict[str, str]:
    """Of AWS's forms for files: a list of ParameterKey and ParameterValue, a map, or a map below
    ``Parameters``. ConfigError."""
    if isinstance(read, dict) and isinstance(read.get("Parameters"), dict):
        read = read["Parameters"]
    if isinstance(read, list) and all(isinstance(one, dict) for one in read):
        read = {one.get("ParameterKey"): one.get("ParameterValue") for one in read}
    if not isinstance(read, dict):
        raise ConfigError("a file of parameters has a map, or a list of ParameterKey and …Value")
    for key, value in read.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float):
            raise ConfigError(f"the parameter {key} has a text or a number")
    return {key: _text(value) for key, value in read.items()}


def values_of(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]
) -> dict[str, str | list[str]]:
    """By their names. TemplateError; all that have no value are named at once."""
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise ConfigError(f"the template has no parameter {name}; it has {known}")
    missing = [
        name
        for name, one in declared.items()
        if name not in given and (one.get("Default") is None or _is_of_ssm(one))
    ]
    if missing:
        example = " ".join(f"{name}={_example(declared[name])}" for name in missing)
        several = "s need" if len(missing) > 1 else " needs"
        ssm = any(_is_of_ssm(declared[name]) for name in missing)
        why = "; there is no SSM here: give what it would say" if ssm else ""
        raise TemplateError(
            f"parameter{several} a value: --parameters {example}{why}", ("Parameters", missing[0])
        )
    return {name: _value(name, one, given.get(name)) for name, one in declared.items()}


def is_secret(declared: Mapping[str, Any]) -> bool:
    return str(declared.get("NoEcho", "")).lower() == "true"


def _value(name: str, one: Mapping[str, Any], given: str | None) -> str | list[str]:
    kind = one.get("Type")
    if not isinstance(kind, str):
        raise TemplateError("a parameter has a Type", ("Parameters", name))
    inner = kind.removeprefix(_SSM).removesuffix(">") if kind.startswith(_SSM) else kind
    text = given if given is not None else _text(one["Default"])
    if len(text) > VALUE_CHARACTERS_MAX:
        raise _wrong(name, one, f"it has more than {VALUE_CHARACTERS_MAX} characters")
    is_list = inner == "CommaDelimitedList" or inner.startswith("List<")
    values = [each.strip() for each in text.split(",")] if is_list else [text]
    if is_list and not text:
        values = []
    element = inner.removeprefix("List<").removesuffix(">")
    for each in values:
        _check(name, one, element, each)
    return values if is_list else text


def _check(name: str, one: Mapping[str, Any], kind: str, value: str) -> None:
    shown = "its value" if is_secret(one) else repr(value[:64])
    if kind == "Number":
        try:
            number = float(value)
        except ValueError:
            raise _wrong(name, one, f"{shown} is no number") from None
        if not _within(one, number, "MinValue", "MaxValue"):
            raise _wrong(name, one, f"{shown} is not within MinValue and MaxValue")
    elif not _within(one, len(value), "MinLength", "MaxLength"):
        raise _wrong(name, one, f"{shown} has a length that is not within MinLength and MaxLength")
    if kind.startswith("AWS::EC2::") and kind.endswith("::Id") and not _is_id(kind, value):
        raise _wrong(name, one, f"{shown} is no {kind}")
    allowed = one.get("AllowedValues")
    if isinstance(allowed, list) and value not in [_text(each) for each in allowed]:
        raise _wrong(name, one, f"{shown} is none of {', '.join(map(_text, allowed))}")
    pattern = one.get("AllowedPattern")
    if isinstance(pattern, str) and value and not _matches(name, pattern, value):
        raise _wrong(name, one, f"{shown} is not like {pattern}")


def _matches(name: str, pattern: str, value: str) -> bool:
    """A pattern is the template's, which who applies it has chosen; both are bounded."""
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise TemplateError("AllowedPattern is too long", ("Parameters", name))
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error as error:
        raise TemplateError(f"AllowedPattern: {error}", ("Parameters", name)) from None


def _within(one: Mapping[str, Any], number: float, least: str, most: str) -> bool:
    try:
        low, high = (float(one[key]) if key in one else None for key in (least, most))
    except (TypeError, ValueError):
        return False
    return (low is None or number >= low) and (high is None or number <= high)


_IDS: Final = {
    "AWS::EC2::VPC::Id": "vpc-",
    "AWS::EC2::Subnet::Id": "subnet-",
    "AWS::EC2::SecurityGroup::Id": "sg-",
}


def _is_id(kind: str, value: str) -> bool:
    return value.startswith(_IDS.get(kind, ""))


def _example(one: Mapping[str, Any]) -> str:
    kind = str(one.get("Type"))
    for name, prefix in _IDS.items():
        if name in kind:
            several = "," + prefix + "2" if kind.startswith("List<") else ""
            return f"{prefix}1{several}"
    return "VALUE"


def _is_of_ssm(one: Mapping[str, Any]) -> bool:
    return str(one.get("Type")).startswith(_SSM)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_text(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wrong(name: str, one: Mapping[str, Any], why: str) -> TemplateError:
    said = one.get("ConstraintDescription")
    return TemplateError(f"{why}{f' ({said})' if said else ''}", ("Parameters", name))

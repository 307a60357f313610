"""Finds what DynamoDB surely refuses, from the request alone. Pure.

Parameters are boto3's, or the HTTP API's JSON: of both only names and texts of expressions are
looked at. Whatever else may be wrong with a request is DynamoDB's to say. The words are DynamoDB's;
it checks these things before it looks for the table.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from paceline.dax.expressions import Path
from paceline.dax.expressions.parser import (
    RepeatedSection,
    parse_condition,
    parse_projection,
    parse_update,
)
from paceline.dax.expressions.tokens import placeholders
from paceline.dax.expressions.tree import EXPRESSION_BYTES_MAX, Parameter
from paceline.errors import RequestError

NESTING_MAX: Final = 32
NAME_BYTES_MAX: Final = 65_535
"""DynamoDB's limits."""

MEMO_ENTRIES: Final = 1024
"""The most expressions that are cached. An application has a few dozen."""
MEMO_CHARACTERS_MAX: Final = 1024

NAMES: Final = "ExpressionAttributeNames"
VALUES: Final = "ExpressionAttributeValues"


class SurelyInvalid(RequestError):
    """DynamoDB refuses this whatever it holds; ``message`` is what it says."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Parameters of an operation, in the order in which DynamoDB names them."""

    expressions: tuple[Parameter, ...]
    legacy: tuple[str, ...] = ()


_READ: Final = _Rule(("ProjectionExpression",), ("AttributesToGet",))
_CHANGE: Final = _Rule(("ConditionExpression",), ("Expected",))
_UPDATE: Final = _Rule(
    ("UpdateExpression", "ConditionExpression"),
    ("AttributeUpdates", "Expected"),
)
_RULES: Final[dict[str, _Rule]] = {
    "GetItem": _READ,
    "PutItem": _CHANGE,
    "DeleteItem": _CHANGE,
    "UpdateItem": _UPDATE,
    "Query": _Rule(
        ("ProjectionExpression", "FilterExpression", "KeyConditionExpression"),
        ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"),
    ),
    "Scan": _Rule(
        ("ProjectionExpression", "FilterExpression"),
        ("AttributesToGet", "ScanFilter", "ConditionalOperator"),
    ),
}
_ACTIONS: Final[dict[str, _Rule]] = {
    "Get": _READ,
    "Put": _CHANGE,
    "Delete": _CHANGE,
    "ConditionCheck": _CHANGE,
    "Update": _UPDATE,
}
_PLACEHOLDERS: Final = {
    NAMES: re.compile(r"#[A-Za-z0-9_]+", re.ASCII),
    VALUES: re.compile(r":[A-Za-z0-9_]+", re.ASCII),
}


def refuse_invalid(operation: str, params: Mapping[str, Any]) -> None:
    """Raises SurelyInvalid if DynamoDB surely refuses it. Members of the wrong kind are passed
    over."""
    rule = _RULES.get(operation)
    if rule is not None:
        _refuse(rule, params)
        return
    if operation == "BatchGetItem":
        requests = params.get("RequestItems")
        if isinstance(requests, dict):
            _refuse_batch([part for part in requests.values() if isinstance(part, dict)])
        return
    if operation in ("TransactGetItems", "TransactWriteItems"):
        entries = params.get("TransactItems")
        for entry in entries if isinstance(entries, (list, tuple)) else ():
            for action, body in entry.items() if isinstance(entry, dict) else ():
                if action in _ACTIONS and isinstance(body, dict):
                    _refuse(_ACTIONS[action], body)


def _refuse_batch(parts: Sequence[Mapping[str, Any]]) -> None:
    """Styles may not be mixed across the tables of a batch either."""
    together = {name: part[name] for part in parts for name in part if part[name] is not None}
    _refuse_mixed(_READ, together)
    for part in parts:
        _refuse(_READ, part)


def _given(names: Iterable[str], params: Mapping[str, Any]) -> list[str]:
    return [name for name in names if params.get(name) is not None]


def _refuse_mixed(rule: _Rule, params: Mapping[str, Any]) -> None:
    new = _given(rule.expressions, params)
    old = _given(rule.legacy, params) if new else []
    if "KeyConditions" in old and params.get("KeyConditionExpression") is None:
        old.remove("KeyConditions")  # a filter's expression may stand beside them
    if old:
        raise SurelyInvalid(
            "Can not use both expression and non-expression parameters in the same request: "
            f"Non-expression parameters: {{{', '.join(old)}}} "
            f"Expression parameters: {{{', '.join(new)}}}"
        )


def _refuse(rule: _Rule, params: Mapping[str, Any]) -> None:
    texts = tuple((name, params[name]) for name in rule.expressions if params.get(name) is not None)
    if not texts:
        return  # names or values without expressions are refused in words that vary
    _refuse_mixed(rule, params)
    names, values = params.get(NAMES), params.get(VALUES)
    for parameter, given in ((NAMES, names), (VALUES, values)):
        if given is None:
            continue
        if not isinstance(given, dict):
            return
        for key in given:
            if not _PLACEHOLDERS[parameter].fullmatch(key):
                raise SurelyInvalid(f'{parameter} contains invalid key: Syntax error; key: "{key}"')
    if all(isinstance(text, str) for _, text in texts):
        problem = _checked(texts, frozenset(names or ()), frozenset(values or ()))
        if problem is not None:
            raise SurelyInvalid(problem)


def _checked(
    texts: tuple[tuple[Parameter, str], ...], names: frozenset[str], values: frozenset[str]
) -> str | None:
    size = sum(len(text) for _, text in texts) + sum(map(len, names)) + sum(map(len, values))
    if size > MEMO_CHARACTERS_MAX:
        return _problem(texts, names, values)
    return _remembered(texts, names, values)


def _problem(
    texts: tuple[tuple[Parameter, str], ...], names: frozenset[str], values: frozenset[str]
) -> str | None:
    """What is wrong with expressions, as far as it does not depend on what placeholders stand for.

    None also where something is wrong that DynamoDB had better say: what it finds first is not
    always what is found here.
    """
    used: set[str] = set()
    for parameter, text in texts:
        if len(text) > EXPRESSION_BYTES_MAX:
            return None
        found = placeholders(text)
        used.update(found)
        try:
            _parse(parameter, text, found)
        except RequestError as error:
            return error.message if isinstance(error, RepeatedSection) else None
        except ValueError:
            return None  # halves of characters
    if not used <= names | values:
        return None
    for known, parameter_name in ((names, NAMES), (values, VALUES)):
        unused = sorted(known - used)
        if unused:
            return (
                f"Value provided in {parameter_name} unused in expressions: "
                f"keys: {{{', '.join(unused)}}}"
            )
    return None


_remembered = lru_cache(MEMO_ENTRIES)(_problem)


def _parse(parameter: Parameter, text: str, found: frozenset[str]) -> None:
    """Parses as if every placeholder were defined."""
    names = dict.fromkeys(found, "name")
    values = {placeholder: {"S": ""} for placeholder in found}
    if parameter == "UpdateExpression":
        parse_update(text, names, values)
    elif parameter == "ProjectionExpression":
        parse_projection(text, names)
    else:
        parse_condition(text, names, values, parameter)


def are_sane_paths(paths: Sequence[Path]) -> bool:
    """Whether DynamoDB takes paths as a projection, as far as they tell: none leads into another,
    none takes for a list what is a map to another, names and nesting are within its limits."""
    for index, path in enumerate(paths):
        if len(path) > NESTING_MAX or not all(map(_is_sane, path)):
            return False
        if any(_clash(path, other) for other in paths[index + 1 :]):
            return False
    return True


def _is_sane(element: str | int) -> bool:
    if isinstance(element, int):
        return True
    return 0 < len(element.encode(errors="surrogatepass")) <= NAME_BYTES_MAX


def _clash(one: Path, other: Path) -> bool:
    for a, b in zip(one, other, strict=False):
        if type(a) is not type(b):
            return True
        if a != b:
            return False
    return True

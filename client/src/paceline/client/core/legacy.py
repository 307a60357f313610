"""Parameters from before expressions, as expressions: the protocol has no place for them. Pure.

``AttributesToGet``, ``Expected``, ``AttributeUpdates``, ``KeyConditions``, ``QueryFilter`` and
``ScanFilter`` with ``ConditionalOperator``, as DynamoDB's documentation relates them ("legacy
conditional parameters" in the developer guide).
"""

from collections.abc import Mapping
from typing import Any, Final

from paceline.dax.client.requests import LEGACY
from paceline.dax.validity import refuse_invalid
from paceline.errors import RequestError
from paceline.types import Params

_EXPRESSIONS: Final = (
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "ProjectionExpression",
    "UpdateExpression",
)
_OPERATORS: Final = {"EQ": "=", "NE": "<>", "LE": "<=", "LT": "<", "GE": ">=", "GT": ">"}
_FUNCTIONS: Final = {
    "NOT_NULL": "attribute_exists({0})",
    "NULL": "attribute_not_exists({0})",
    "CONTAINS": "contains({0}, {1})",
    "NOT_CONTAINS": "attribute_exists({0}) AND NOT contains({0}, {1})",
    "BEGINS_WITH": "begins_with({0}, {1})",
    "BETWEEN": "{0} BETWEEN {1} AND {2}",
}
_ARGUMENTS: Final = {"NOT_NULL": 0, "NULL": 0, "BETWEEN": 2}


def modernize(operation: str, params: Params) -> Params:
    """``params`` itself where nothing is to be done, else a new dictionary.

    RequestError for what DynamoDB refuses of the old parameters: no expression would show it.
    """
    if operation == "BatchGetItem":
        tables: Params = params["RequestItems"]
        if not any("AttributesToGet" in get for get in tables.values()):
            return params
        refuse_invalid(operation, params)
        return {**params, "RequestItems": {t: _modern(get) for t, get in tables.items()}}
    if LEGACY.isdisjoint(params):
        return params
    refuse_invalid(operation, params)
    return _modern(params)


def _modern(params: Params) -> Params:
    old = sorted(LEGACY.intersection(params))
    if not old:
        return params
    new = [name for name in _EXPRESSIONS if name in params]
    if new:
        raise RequestError(
            "ValidationException",
            "Can not use both expression and non-expression parameters in the same request: "
            f"Non-expression parameters: {{{', '.join(old)}}} "
            f"Expression parameters: {{{', '.join(new)}}}",
        )
    rewriting = _Rewriting()
    _refuse_odd(params)
    operator = f" {params.get('ConditionalOperator', 'AND')} "
    out = {name: value for name, value in params.items() if name not in LEGACY}
    if names := params.get("AttributesToGet"):
        out["ProjectionExpression"] = ", ".join(map(rewriting.name, names))
    if expected := params.get("Expected"):
        out["ConditionExpression"] = rewriting.conditions(expected, operator)
    if updates := params.get("AttributeUpdates"):
        out["UpdateExpression"] = rewriting.update(updates)
    if keys := params.get("KeyConditions"):
        out["KeyConditionExpression"] = rewriting.conditions(keys, " AND ")
    if filtered := params.get("QueryFilter") or params.get("ScanFilter"):
        out["FilterExpression"] = rewriting.conditions(filtered, operator)
    if rewriting.names:
        out["ExpressionAttributeNames"] = rewriting.names
    if rewriting.values:
        out["ExpressionAttributeValues"] = rewriting.values
    return out


def _refuse_odd(params: Params) -> None:
    """What DynamoDB refuses and no expression would show."""
    if "ConditionalOperator" in params and not any(
        len(params.get(name, ())) > 1 for name in ("Expected", "QueryFilter", "ScanFilter")
    ):
        raise RequestError(
            "ValidationException",
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        )
    for name, condition in params.get("Expected", {}).items():
        old = condition.keys() & {"Value", "Exists"}
        if (old and condition.keys() - old) or (
            old == {"Value", "Exists"} and not condition["Exists"]
        ):
            raise RequestError(
                "ValidationException",
                "One or more parameter values were invalid: "
                f"{' and '.join(sorted(condition))} cannot be used together for Attribute: {name}",
            )


class _Rewriting:
    """Placeholders for everything: legacy names may be reserved words or hold dots."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self._placeholders: dict[str, str] = {}

    def name(self, name: str) -> str:
        found = self._placeholders.get(name)
        if found is None:
            found = self._placeholders[name] = f"#legacy{len(self.names)}"
            self.names[found] = name
        return found

    def value(self, value: Any) -> str:
        placeholder = f":legacy{len(self.values)}"
        self.values[placeholder] = value
        return placeholder

    def conditions(self, conditions: Mapping[str, Any], operator: str) -> str:
        parts = [f"({self._condition(name, c)})" for name, c in conditions.items()]
        # Key conditions may stand in parentheses only as a whole.
        if len(parts) == 1 or operator == " AND ":
            parts = [
                part if " AND " in part and " BETWEEN " not in part else part[1:-1]
                for part in parts
            ]
        return operator.join(parts)

    def _condition(self, name: str, condition: Mapping[str, Any]) -> str:
        attribute = self.name(name)
        operator = condition.get("ComparisonOperator")
        values = condition.get("AttributeValueList", [])
        if operator is None:
            if condition.get("Exists") is False:
                return f"attribute_not_exists({attribute})"
            if "Value" not in condition:
                raise RequestError(
                    "ValidationException",
                    "One or more parameter values were invalid: Value must be provided when "
                    f"Exists is {str(condition.get('Exists', 'null')).lower()} for Attribute: "
                    f"{name}",
                )
            return f"{attribute} = {self.value(condition['Value'])}"
        if operator not in _OPERATORS and operator not in _FUNCTIONS and operator != "IN":
            raise RequestError("ValidationException", f"{operator} is no ComparisonOperator")
        wanted = len(values) if operator == "IN" else _ARGUMENTS.get(operator, 1)
        if len(values) != wanted or (operator == "IN" and not values):
            raise RequestError(
                "ValidationException",
                "One or more parameter values were invalid: Invalid number of argument(s) for the "
                f"{operator} ComparisonOperator",
            )
        placeholders = [self.value(value) for value in values]
        if operator == "IN":
            return f"{attribute} IN ({', '.join(placeholders)})"
        if operator in _OPERATORS:
            return f"{attribute} {_OPERATORS[operator]} {placeholders[0]}"
        return _FUNCTIONS[operator].format(attribute, *placeholders)

    def update(self, updates: Mapping[str, Any]) -> str:
        clauses: dict[str, list[str]] = {}
        for name, update in updates.items():
            action = update.get("Action", "PUT")
            attribute = self.name(name)
            if action == "DELETE" and "Value" not in update:
                clauses.setdefault("REMOVE", []).append(attribute)
                continue
            if "Value" not in update:
                raise RequestError(
                    "ValidationException",
                    "One or more parameter values were invalid: Only DELETE action is allowed "
                    "when no attribute value is specified",
                )
            value = self.value(update["Value"])
            if action == "PUT":
                clauses.setdefault("SET", []).append(f"{attribute} = {value}")
            else:
                clauses.setdefault(action, []).append(f"{attribute} {value}")
        return " ".join(f"{clause} {', '.join(parts)}" for clause, parts in clauses.items())

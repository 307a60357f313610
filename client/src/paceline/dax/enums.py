"""Enumerations of optional arguments as numbers: docs/dax-protocol.md section 4.1."""

from collections.abc import Iterable, Mapping
from typing import Final

from paceline.errors import RequestError

CONSUMED_CAPACITY: Final = {0: "NONE", 1: "TOTAL", 2: "INDEXES"}
COLLECTION_METRICS: Final = {0: "NONE", 1: "SIZE"}
RETURN_VALUES: Final = {1: "NONE", 2: "ALL_OLD", 3: "UPDATED_OLD", 4: "ALL_NEW", 5: "UPDATED_NEW"}
RETURN_VALUES_ON_FAILURE: Final = {1: "NONE", 2: "ALL_OLD"}
SELECT: Final = {
    1: "ALL_ATTRIBUTES",
    2: "ALL_PROJECTED_ATTRIBUTES",
    3: "COUNT",
    4: "SPECIFIC_ATTRIBUTES",
}

NUMBERS: Final[dict[str, dict[str, int]]] = {
    parameter: {text: number for number, text in numbers.items()}
    for parameter, numbers in (
        ("ReturnConsumedCapacity", CONSUMED_CAPACITY),
        ("ReturnItemCollectionMetrics", COLLECTION_METRICS),
        ("ReturnValues", RETURN_VALUES),
        ("ReturnValuesOnConditionCheckFailure", RETURN_VALUES_ON_FAILURE),
        ("Select", SELECT),
    )
}
"""By parameter, the number of each of its texts."""


def text_of(parameter: str, names: Mapping[int, str], number: int) -> str:
    """Returns the text of a number. RequestError, in DynamoDB's words: it stands for nothing."""
    if number not in names:
        raise refuse_enum(parameter, str(number), names.values())
    return names[number]


def number_of(parameter: str, text: object) -> int:
    """Returns the number of a text. RequestError, in DynamoDB's words: the parameter has no such
    value."""
    numbers = NUMBERS[parameter]
    if not isinstance(text, str) or text not in numbers:
        raise refuse_enum(parameter, str(text), numbers)
    return numbers[text]


def refuse_enum(parameter: str, value: str, names: Iterable[str]) -> RequestError:
    field = parameter[0].lower() + parameter[1:]
    listed = ", ".join(names)
    return RequestError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{listed}]",
    )

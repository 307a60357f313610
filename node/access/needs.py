"""From an operation and its parameters to what is needed for it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from node.access.items import InfoOf, ItemNeeds
from node.access.need import CannotJudge, Need
from node.access.places import Place
from node.access.statements import statement_needs
from node.access.tables import RESOURCES, table_needs
from paceline.dynamodb_operations import PARTIQL

_Items = Callable[[ItemNeeds, str, Mapping[str, Any]], Iterator[Need]]

_ITEMS: Final[Mapping[str, _Items]] = {
    **dict.fromkeys(
        ("GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem"),
        lambda items, operation, params: items.one(operation, params),
    ),
    **dict.fromkeys(
        ("TransactGetItems", "TransactWriteItems"),
        lambda items, operation, params: items.transaction(operation, params),
    ),
    "BatchGetItem": lambda items, operation, params: items.batch_get(params),
    "BatchWriteItem": lambda items, operation, params: items.batch_write(params),
}

JUDGED: Final = frozenset({*_ITEMS, *PARTIQL, *RESOURCES})
"""The operations of which it is known what they need."""


def needs(
    operation: str, params: Mapping[str, Any], place: Place, info_of: InfoOf
) -> tuple[Need, ...]:
    """All of them have to be allowed; there is at least one. ``params`` are those of boto3's
    low-level client.

    Raises CannotJudge for operations, and for statements, of which it cannot be told what they
    read or change.
    """
    if operation in _ITEMS:
        found = tuple(_ITEMS[operation](ItemNeeds(place, info_of), operation, params))
    elif operation in PARTIQL:
        found = tuple(statement_needs(operation, params, place, info_of))
    elif operation in RESOURCES:
        found = tuple(table_needs(operation, params, place))
    else:
        raise CannotJudge(f"this version of Paceline does not know what {operation} needs")
    assert found, f"{operation} needs nothing"
    return found

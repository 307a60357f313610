"""The operations that have PartiQL statements. Pure.

Each statement needs the action of its verb on its table or index; in ExecuteTransaction with that
as EnclosingOperation. Statements of which the table cannot be told are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from node.access import partiql
from node.access.expressions import ALL, ALL_PROJECTED, SPECIFIC, hide_leading
from node.access.items import InfoOf, hash_of, leading_key, with_old_item
from node.access.need import (
    ATTRIBUTES,
    ENCLOSING_OPERATIONS,
    FULL_TABLE_SCAN,
    LEADING_KEYS,
    RETURN_CONSUMED_CAPACITY,
    RETURN_VALUES,
    SELECT,
    CannotJudge,
    Facts,
    Need,
)
from node.access.partiql import Operand, Slot, Statement
from node.access.places import Place, index_of
from node.requests.table_names import table_of
from paceline.dynamodb_operations import OPERATIONS

TOKENS_MAX = 16 * 1024
"""Words and signs of all statements of a request: some hundred for each of a hundred. All of them
are read before anything else is done, in a tenth of a second at most."""

_ACTIONS = tuple(f"dynamodb:PartiQL{verb}" for verb in ("Select", "Insert", "Update", "Delete"))


def statement_needs(
    operation: str, params: Mapping[str, Any], place: Place, info_of: InfoOf
) -> Iterator[Need]:
    """Raises CannotJudge."""
    name = OPERATIONS[operation].statements
    listed = params.get(name) if name else [params]
    statements = (
        [one for one in listed or () if isinstance(one, Mapping)]
        if (isinstance(listed, list | tuple))
        else []
    )
    if not statements:
        # DynamoDB does nothing without, and says so to those who may ask.
        for action in _ACTIONS:
            yield Need(action, place.any_table)
    capacity = params.get("ReturnConsumedCapacity")
    enclosing = operation if operation == "ExecuteTransaction" else None
    length = 0
    for one in statements:
        text = one.get("Statement")
        statement = partiql.read(text if isinstance(text, str) else "")
        length += statement.length
        if length > TOKENS_MAX:
            raise CannotJudge(f"its statements have more than {TOKENS_MAX} words and signs in all")
        yield from _one(statement, one, capacity, enclosing, place, info_of)


def _one(
    statement: Statement,
    params: Mapping[str, Any],
    capacity: Any,
    enclosing: str | None,
    place: Place,
    info_of: InfoOf,
) -> Iterator[Need]:
    def find() -> Facts:
        facts = _facts(statement, params, info_of)
        facts.add_text(RETURN_CONSUMED_CAPACITY, capacity)
        for key in ENCLOSING_OPERATIONS if enclosing is not None else ():
            facts.add(key, str(enclosing))
        return facts

    for table in place.tables(statement.table):
        resource = table if statement.index is None else index_of(table, statement.index)
        action = f"dynamodb:PartiQL{statement.verb}"
        yield Need(action, resource, find)
        on_failure = params.get("ReturnValuesOnConditionCheckFailure")
        if on_failure not in (None, "NONE"):
            yield Need(action, resource, lambda: with_old_item(find()))


def _value(operand: Operand, parameters: Sequence[Any]) -> Any:
    if not isinstance(operand, Slot):
        return operand
    return parameters[operand.number] if operand.number < len(parameters) else None


def _facts(statement: Statement, params: Mapping[str, Any], info_of: InfoOf) -> Facts:
    facts = Facts()
    if statement.attributes is None:
        facts.hide("the statement's attributes cannot be told", [ATTRIBUTES])
    else:
        facts.add(ATTRIBUTES, *statement.attributes)
    if statement.returning is not None:
        facts.add(RETURN_VALUES, statement.returning)
    reads = statement.verb == "Select"
    if reads:
        everything = ALL if statement.index is None else ALL_PROJECTED
        facts.add(SELECT, everything if statement.all_attributes else SPECIFIC)
    name = table_of(statement.table)
    info = None if name is None else info_of(name)
    part = None if info is None else hash_of(info, statement.index)
    if part is None:
        facts.hide(
            f"it is not known here what the keys of {statement.table} are",
            [LEADING_KEYS, FULL_TABLE_SCAN],
        )
        return facts
    values = statement.partition(part.name)
    if reads:
        facts.add(FULL_TABLE_SCAN, "false" if values else "true")
    given = params.get("Parameters")
    parameters = given if isinstance(given, list | tuple) else ()
    leading = [leading_key(_value(value, parameters), part) for value in values or ()]
    facts.add(LEADING_KEYS, *(key for key in leading if key is not None))
    if None in leading:
        hide_leading(facts, f"the statement has no value of {part.name} that can be read")
    if values is None:
        hide_leading(facts, f"the statement's condition on {part.name} cannot be read")
    return facts

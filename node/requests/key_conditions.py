"""The conditions of a KeyConditionExpression, as far as they are of the usual form. Pure."""

from __future__ import annotations

from typing import NamedTuple

from paceline.dax.expressions import Expression
from paceline.dax.expressions.parser import parse_condition
from paceline.dax.expressions.tree import Call, Op, PathTerm, Variable
from paceline.types import AttributeValue, Params

_FLIPPED = {Op.EQ: Op.EQ, Op.LT: Op.GT, Op.LE: Op.GE, Op.GT: Op.LT, Op.GE: Op.LE}
"""The operator of a comparison once its sides are swapped."""


class KeyCondition(NamedTuple):
    """The condition ``name op values``."""

    name: str
    op: Op
    values: tuple[AttributeValue, ...]


def key_conditions(params: Params) -> list[KeyCondition] | None:
    """Returns the conditions that ANDs join, however they are nested; None for any other form, and
    without an expression. Raises RequestError for one that DynamoDB refuses."""
    text = params.get("KeyConditionExpression")
    if not isinstance(text, str):
        return None
    return _conditions(
        parse_condition(
            text,
            params.get("ExpressionAttributeNames"),
            params.get("ExpressionAttributeValues"),
            "KeyConditionExpression",
        )
    )


def _conditions(tree: Expression) -> list[KeyCondition] | None:
    terms = tree.terms
    found = []
    at = 0
    while at < len(terms):
        term = terms[at]
        at += 1
        if not isinstance(term, Call):
            return None
        if term.op is Op.AND:
            continue  # its operands follow, in prefix order
        operands = terms[at : at + term.arity]
        at += term.arity
        paths = [operand.path for operand in operands if isinstance(operand, PathTerm)]
        values = tuple(
            tree.values[operand.slot] for operand in operands if isinstance(operand, Variable)
        )
        if len(paths) != 1 or len(paths[0]) != 1 or len(values) != term.arity - 1:
            return None
        op: Op = term.op
        if not isinstance(operands[0], PathTerm):
            if op not in _FLIPPED:
                return None
            op = _FLIPPED[op]
        if op not in _FLIPPED and op not in (Op.BETWEEN, Op.BEGINS_WITH):
            return None
        found.append(KeyCondition(str(paths[0][0]), op, values))
    return found

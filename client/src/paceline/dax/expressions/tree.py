"""Expression trees: the operators, what may stand where, and the limits (docs/dax-protocol.md 7).

A tree is kept flat, in prefix order, exactly as it lies on the wire: every ``Call`` or ``Group``
is followed by its operands. Conditions are as deep as they are long (300 ANDs make 300 levels),
so everything that walks a tree does it in a loop over this sequence, never by recursion.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Literal, NoReturn, TypeAlias

from paceline.errors import RequestError
from paceline.types import AttributeValue

EXPRESSION_BYTES_MAX = 4096
"""DynamoDB's limit for the text of one expression."""

TERMS_MAX = EXPRESSION_BYTES_MAX
"""The most terms (operators, values, paths) and path elements of one tree. Each takes at least one
character of text, so no expression that DynamoDB accepts has more."""

DEPTH_MAX = 1024
"""The most levels of one tree. The cheapest level of text is ``NOT`` and a blank: four
characters."""

LIST_INDEX_MAX = 2**31 - 1
"""Far above the length of any list that fits into an item of 400 KB."""

FORMAT_VERSION = 1

Path: TypeAlias = tuple[str | int, ...]
"""A document path: the attribute name first, then names (map keys) and list indexes."""

Parameter = Literal[
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "UpdateExpression",
    "ProjectionExpression",
]
"""The request parameter an expression stands in; error messages name it, as DynamoDB's do."""


class Op(IntEnum):
    """The operator codes of the wire. GE comes before GT, and LE is the last comparator."""

    EQ = 0
    NE = 1
    LT = 2
    GE = 3
    GT = 4
    LE = 5
    AND = 6
    OR = 7
    NOT = 8
    BETWEEN = 9
    IN = 10
    ATTRIBUTE_EXISTS = 11
    ATTRIBUTE_NOT_EXISTS = 12
    ATTRIBUTE_TYPE = 13
    BEGINS_WITH = 14
    CONTAINS = 15
    SIZE = 16
    VARIABLE = 17
    PATH = 18
    SET = 19
    ADD = 20
    DELETE = 21
    REMOVE = 22
    IF_NOT_EXISTS = 23
    LIST_APPEND = 24
    PLUS = 25
    MINUS = 26


@dataclass(frozen=True, slots=True)
class Call:
    """An operator; its ``arity`` operands follow."""

    op: Op
    arity: int


@dataclass(frozen=True, slots=True)
class Group:
    """A bare array (IN's list, update actions, projection paths): ``count`` trees follow."""

    count: int


@dataclass(frozen=True, slots=True)
class PathTerm:
    path: Path


@dataclass(frozen=True, slots=True)
class Variable:
    """The value at ``slot`` of the expression's own value array."""

    slot: int


Term: TypeAlias = Call | Group | PathTerm | Variable


@dataclass(frozen=True, slots=True)
class Expression:
    """One tree in prefix order, and the values that its variables point into.

    A condition is one ``Call``; an update is a ``Group`` of actions; a projection is a ``Group`` of
    paths and has no values.
    """

    terms: tuple[Term, ...]
    values: tuple[AttributeValue, ...] = ()


class Kind(Enum):
    """What the grammar expects at one place of a tree."""

    CONDITION = "condition"
    OPERAND = "operand"
    OPERANDS = "list of operands"
    ACTIONS = "list of actions"
    ACTION = "action"
    SET_VALUE = "value to set"
    UPDATE_OPERAND = "operand of an update"
    VALUE = "value"
    PATHS = "list of paths"
    PATH = "document path"


COMPARATORS = {
    "=": Op.EQ,
    "<>": Op.NE,
    "<": Op.LT,
    ">=": Op.GE,
    ">": Op.GT,
    "<=": Op.LE,
}
ARITHMETIC = {"+": Op.PLUS, "-": Op.MINUS}
SYMBOLS = {op: text for text, op in {**COMPARATORS, **ARITHMETIC}.items()}

CONDITION_FUNCTIONS = frozenset(
    {
        Op.ATTRIBUTE_EXISTS,
        Op.ATTRIBUTE_NOT_EXISTS,
        Op.ATTRIBUTE_TYPE,
        Op.BEGINS_WITH,
        Op.CONTAINS,
        Op.SIZE,
    }
)
UPDATE_FUNCTIONS = frozenset({Op.IF_NOT_EXISTS, Op.LIST_APPEND})
FUNCTIONS = {op.name.lower(): op for op in CONDITION_FUNCTIONS | UPDATE_FUNCTIONS}
"""Function name, lower case -> operator."""

ACTIONS = (Op.SET, Op.REMOVE, Op.ADD, Op.DELETE)
"""The clauses of an update, in the order in which they are written."""

_LEAVES = frozenset({Op.PATH, Op.VARIABLE})

ALLOWED: dict[Kind, frozenset[Op]] = {
    Kind.CONDITION: frozenset(
        {*COMPARATORS.values(), Op.AND, Op.OR, Op.NOT, Op.BETWEEN, Op.IN}
        | (CONDITION_FUNCTIONS - {Op.SIZE})
    ),
    Kind.OPERAND: _LEAVES | {Op.SIZE},
    Kind.ACTION: frozenset(ACTIONS),
    Kind.SET_VALUE: _LEAVES | UPDATE_FUNCTIONS | {Op.PLUS, Op.MINUS},
    Kind.UPDATE_OPERAND: _LEAVES | UPDATE_FUNCTIONS,
    Kind.VALUE: frozenset({Op.VARIABLE}),
    Kind.PATH: frozenset({Op.PATH}),
}

OPERANDS: dict[Op, tuple[Kind, ...]] = {
    **dict.fromkeys(COMPARATORS.values(), (Kind.OPERAND, Kind.OPERAND)),
    Op.AND: (Kind.CONDITION, Kind.CONDITION),
    Op.OR: (Kind.CONDITION, Kind.CONDITION),
    Op.NOT: (Kind.CONDITION,),
    Op.BETWEEN: (Kind.OPERAND, Kind.OPERAND, Kind.OPERAND),
    Op.IN: (Kind.OPERAND, Kind.OPERANDS),
    # Whether a function's operand must be a path or may be a value is DynamoDB's to judge: the
    # clients send either, and the same text gives the caller DynamoDB's own answer.
    Op.ATTRIBUTE_EXISTS: (Kind.OPERAND,),
    Op.ATTRIBUTE_NOT_EXISTS: (Kind.OPERAND,),
    Op.ATTRIBUTE_TYPE: (Kind.OPERAND, Kind.OPERAND),
    Op.BEGINS_WITH: (Kind.OPERAND, Kind.OPERAND),
    Op.CONTAINS: (Kind.OPERAND, Kind.OPERAND),
    Op.SIZE: (Kind.OPERAND,),
    Op.SET: (Kind.PATH, Kind.SET_VALUE),
    Op.ADD: (Kind.PATH, Kind.VALUE),
    Op.DELETE: (Kind.PATH, Kind.VALUE),
    Op.REMOVE: (Kind.PATH,),
    Op.IF_NOT_EXISTS: (Kind.UPDATE_OPERAND, Kind.UPDATE_OPERAND),
    Op.LIST_APPEND: (Kind.UPDATE_OPERAND, Kind.UPDATE_OPERAND),
    Op.PLUS: (Kind.UPDATE_OPERAND, Kind.UPDATE_OPERAND),
    Op.MINUS: (Kind.UPDATE_OPERAND, Kind.UPDATE_OPERAND),
}
"""Operator -> what it expects, in order; its length is the arity."""

GROUPS: dict[Kind, Kind] = {
    Kind.OPERANDS: Kind.OPERAND,
    Kind.ACTIONS: Kind.ACTION,
    Kind.PATHS: Kind.PATH,
}
"""Kinds that are bare arrays -> the kind of each element."""


def invalid(parameter: Parameter, problem: str) -> RequestError:
    return RequestError("ValidationException", f"Invalid {parameter}: {problem}")


def refuse_operand_count(parameter: Parameter, op: Op, count: int) -> NoReturn:
    name = op.name.lower() if op in FUNCTIONS.values() else SYMBOLS.get(op, op.name)
    raise invalid(
        parameter,
        "Incorrect number of operands for operator or function; "
        f"operator or function: {name}, number of operands: {count}",
    )


def refuse_function(parameter: Parameter, op: Op) -> NoReturn:
    """Raises for a function that exists but may not stand where it was found."""
    name = op.name.lower()
    if parameter == "UpdateExpression" and op not in UPDATE_FUNCTIONS:
        problem = "The function is not allowed in an update expression"
    elif parameter != "UpdateExpression" and op not in CONDITION_FUNCTIONS:
        words = {"FilterExpression": "filter", "KeyConditionExpression": "key condition"}
        where = words.get(parameter, "condition")
        problem = f"The function is not allowed in a {where} expression"
    else:
        problem = "The function is not allowed to be used this way in an expression"
    raise invalid(parameter, f"{problem}; function: {name}")

"""Parses the text of an expression into a tree, with names and values substituted.

Chains of AND and of OR lean to the right, as in AWS's Python client. The parser climbs precedence
with an explicit stack instead of recursion, so that 4 KB of parentheses cannot exhaust Python's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from paceline.dax.expressions.tokens import (
    END,
    INDEX,
    NAME,
    NAME_PLACEHOLDER,
    VALUE_PLACEHOLDER,
    Tokens,
)
from paceline.dax.expressions.tree import (
    ALLOWED,
    ARITHMETIC,
    COMPARATORS,
    FUNCTIONS,
    LIST_INDEX_MAX,
    OPERANDS,
    Call,
    Expression,
    Group,
    Kind,
    Op,
    Parameter,
    Path,
    PathTerm,
    Term,
    Variable,
    invalid,
    refuse_function,
    refuse_operand_count,
)
from paceline.errors import RequestError
from paceline.types import AttributeValue

_ACTION_OF: Final = {"SET": Op.SET, "REMOVE": Op.REMOVE, "ADD": Op.ADD, "DELETE": Op.DELETE}
_BINDING: Final = {Op.OR: 1, Op.AND: 2, Op.NOT: 3}
"""How tightly the logical operators bind. All others bind tighter."""
_TIGHT: Final = 4


class RepeatedSection(RequestError):
    """An update has two clauses of one kind, and no other fault."""

    def __init__(self, op: Op) -> None:
        super().__init__(
            "ValidationException",
            f'Invalid UpdateExpression: The "{op.name}" section can only be used once in an update '
            "expression;",
        )


def parse_condition(
    text: str,
    names: Mapping[str, str] | None,
    values: Mapping[str, AttributeValue] | None,
    parameter: Parameter = "ConditionExpression",
) -> Expression:
    scope = _Scope(Tokens(text, parameter), names or {}, values or {})
    terms = _OperatorParser(scope, Kind.CONDITION).parse()
    return scope.finish(terms)


def parse_update(
    text: str,
    names: Mapping[str, str] | None,
    values: Mapping[str, AttributeValue] | None,
) -> Expression:
    """Returns the tree of an update. Actions keep the order of the text; clauses may come in any
    order, each only once."""
    tokens = Tokens(text, "UpdateExpression")
    scope = _Scope(tokens, names or {}, values or {})
    count = 0
    terms: list[Term] = []
    clauses: set[Op] = set()
    repeated: Op | None = None
    while tokens.kind != END:
        if tokens.kind not in _ACTION_OF:
            tokens.refuse()
        op = _ACTION_OF[tokens.take().kind]
        if op in clauses:
            repeated = repeated or op
        clauses.add(op)
        while True:
            count += 1
            terms.append(Call(op, len(OPERANDS[op])))
            terms.append(PathTerm(scope.path()))
            if op is Op.SET:
                tokens.expect("=")
                terms += _OperatorParser(scope, Kind.SET_VALUE).parse()
            elif op is not Op.REMOVE:
                terms.append(scope.variable())
            if tokens.kind != ",":
                break
            tokens.take()
    if repeated is not None:
        raise RepeatedSection(repeated)
    return scope.finish([Group(count), *terms])


def parse_projection(text: str, names: Mapping[str, str] | None) -> tuple[Path, ...]:
    """Returns the document paths in the order of the text. The position of a path is its
    ordinal."""
    tokens = Tokens(text, "ProjectionExpression")
    scope = _Scope(tokens, names or {}, {})
    paths = [scope.path()]
    while tokens.kind == ",":
        tokens.take()
        paths.append(scope.path())
    tokens.expect(END)
    return tuple(paths)


@dataclass
class _Scope:
    """Makes the leaves: paths, values, and the slots that values get in the order of first use."""

    tokens: Tokens
    names: Mapping[str, str]
    given: Mapping[str, AttributeValue]
    slots: dict[str, int] = field(default_factory=dict)

    def finish(self, terms: list[Term]) -> Expression:
        return Expression(tuple(terms), tuple(self.given[name] for name in self.slots))

    def path(self) -> Path:
        tokens = self.tokens
        elements: list[str | int] = [self._element()]
        while True:
            if tokens.kind == ".":
                tokens.take()
                elements.append(self._element())
            elif tokens.kind == "[":
                tokens.take()
                index = int(tokens.expect(INDEX).text)
                if index > LIST_INDEX_MAX:
                    raise invalid(
                        tokens.parameter,
                        f"List index is not within the allowable range; index: [{index}]",
                    )
                elements.append(index)
                tokens.expect("]")
            else:
                return tuple(elements)

    def _element(self) -> str:
        tokens = self.tokens
        if tokens.kind == NAME_PLACEHOLDER:
            placeholder = tokens.take().text
            name = self.names.get(placeholder)
            if name is None:
                raise invalid(
                    tokens.parameter,
                    "An expression attribute name used in the document path is not defined; "
                    f"attribute name: {placeholder}",
                )
            return name
        return tokens.expect(NAME).text

    def variable(self) -> Variable:
        placeholder = self.tokens.expect(VALUE_PLACEHOLDER).text
        if placeholder not in self.given:
            raise invalid(
                self.tokens.parameter,
                "An expression attribute value used in expression is not defined; "
                f"attribute value: {placeholder}",
            )
        return Variable(self.slots.setdefault(placeholder, len(self.slots)))


@dataclass(slots=True)
class _Parsed:
    """A finished subtree. ``op`` is None for a path or a value."""

    terms: list[Term]
    op: Op | None = None
    parenthesised: bool = False


@dataclass(slots=True)
class _Open:
    """An operator that waits for operands, or an opened parenthesis (then ``op`` is None, IN or a
    function). ``base`` is the number of finished subtrees below its operands."""

    op: Op | None
    base: int
    bracket: bool
    binding: int = 0


class _OperatorParser:
    """Parses one condition, or one value of a SET action, up to the first token that does not
    belong to it."""

    def __init__(self, scope: _Scope, kind: Kind) -> None:
        self._scope = scope
        self._tokens = scope.tokens
        self._kind = kind
        self._operand = Kind.OPERAND if kind is Kind.CONDITION else Kind.UPDATE_OPERAND
        self._open: list[_Open] = []
        self._done: list[_Parsed] = []
        self._brackets = 0

    def parse(self) -> list[Term]:
        while True:
            self._prefix()
            if not self._infix():
                break
        if self._brackets:
            self._tokens.refuse()
        self._reduce(0)
        result = self._done.pop()
        self._check(result, self._kind)
        if self._kind is Kind.CONDITION and self._tokens.kind != END:
            self._tokens.refuse()
        return result.terms

    def _prefix(self) -> None:
        """Parses up to and including the next path or value."""
        tokens = self._tokens
        while True:
            if tokens.kind == "(":
                tokens.take()
                self._push(None, bracket=True)
            elif tokens.kind == "NOT" and self._kind is Kind.CONDITION and not self._in_list():
                tokens.take()
                self._push(Op.NOT, binding=_BINDING[Op.NOT])
            elif tokens.kind == NAME and tokens.following_kind == "(":
                self._function()
            elif tokens.kind == VALUE_PLACEHOLDER:
                self._done.append(_Parsed([self._scope.variable()]))
                return
            else:
                self._done.append(_Parsed([PathTerm(self._scope.path())]))
                return

    def _function(self) -> None:
        name = self._tokens.take().text
        op = FUNCTIONS.get(name.lower())
        if op is None:
            raise invalid(self._tokens.parameter, f"Invalid function name; function: {name}")
        if op not in ALLOWED[self._kind] and op not in ALLOWED[self._operand]:
            refuse_function(self._tokens.parameter, op)
        self._tokens.take()
        self._push(op, bracket=True)

    def _infix(self) -> bool:
        """Parses closing parentheses and the next operator. Returns False where the expression
        ends."""
        tokens = self._tokens
        while True:
            kind = tokens.kind
            if kind == ")" and self._brackets:
                self._reduce(0)
                self._close()
                continue
            if kind == "," and self._in_list():
                self._reduce(0)
                self._check(self._done[-1], self._operand)
                tokens.take()
                return True
            if kind == "AND" and self._open and self._open[-1].op is Op.BETWEEN:
                between = self._open[-1]
                if len(self._done) - between.base == 2:
                    self._check(self._done[-1], Kind.OPERAND)
                    tokens.take()
                    return True
            if self._kind is Kind.CONDITION:
                return self._condition_infix(kind)
            if kind in ARITHMETIC:
                self._start_tight(ARITHMETIC[kind])
                return True
            return False

    def _condition_infix(self, kind: str) -> bool:
        if kind in COMPARATORS:
            self._start_tight(COMPARATORS[kind])
        elif kind == "BETWEEN":
            self._start_tight(Op.BETWEEN)
        elif kind == "IN":
            if self._tokens.following_kind != "(":
                self._tokens.take()
                self._tokens.refuse()
            self._start_tight(Op.IN, bracket=True)
            self._tokens.take()
        elif kind in ("AND", "OR"):
            op = Op[kind]
            # Strictly tighter ones only: an equal operator on the left keeps waiting, so that
            # chains lean to the right.
            self._reduce(_BINDING[op] + 1)
            self._require_condition()
            if self._in_list():
                self._tokens.refuse()
            self._tokens.take()
            self._push(op, operands=1, binding=_BINDING[op])
        else:
            return False
        return True

    def _start_tight(self, op: Op, *, bracket: bool = False) -> None:
        """Starts a comparator or the like. These are not associative, so none may wait directly to
        its left."""
        waiting = self._open[-1] if self._open else None
        left = self._done[-1]
        clash = waiting is not None and (waiting.binding == _TIGHT or self._in_list())
        if clash or self._is_result(left):
            self._tokens.refuse()
        self._check(left, self._operand)
        self._tokens.take()
        self._push(op, operands=1, bracket=bracket, binding=_TIGHT)

    def _push(
        self, op: Op | None, *, operands: int = 0, bracket: bool = False, binding: int = 0
    ) -> None:
        self._open.append(_Open(op, len(self._done) - operands, bracket, binding))
        self._brackets += bracket

    def _in_list(self) -> bool:
        """True directly inside the parentheses of IN or of a function."""
        return bool(self._open) and self._open[-1].bracket and self._open[-1].op is not None

    def _reduce(self, binding: int) -> None:
        """Finishes the operators above the innermost open parenthesis that bind at least this
        tightly."""
        while self._open and not self._open[-1].bracket and self._open[-1].binding >= binding:
            waiting = self._open.pop()
            operands = self._done[waiting.base :]
            del self._done[waiting.base :]
            assert waiting.op is not None
            kinds = OPERANDS[waiting.op]
            if len(operands) != len(kinds):
                self._tokens.refuse()
            for operand, kind in zip(operands, kinds, strict=True):
                self._check(operand, kind)
            self._done.append(_call(waiting.op, operands))

    def _close(self) -> None:
        """Closes the parenthesis of a group, of IN's list, or of a function's operands."""
        bracket = self._open.pop()
        self._brackets -= 1
        inner = self._done[bracket.base :]
        del self._done[bracket.base :]
        if bracket.op is None:
            (group,) = inner
            if group.parenthesised:
                raise invalid(self._tokens.parameter, "The expression has redundant parentheses;")
            group.parenthesised = True
            self._done.append(group)
        else:
            for operand in inner:
                self._check(operand, self._operand)
            if bracket.op is Op.IN:
                listed = inner[1:]
                group = _Parsed([Group(len(listed)), *(t for p in listed for t in p.terms)])
                self._done.append(_call(Op.IN, [inner[0], group]))
            else:
                if len(inner) != len(OPERANDS[bracket.op]):
                    refuse_operand_count(self._tokens.parameter, bracket.op, len(inner))
                self._done.append(_call(bracket.op, inner))
        self._tokens.take()

    def _is_result(self, parsed: _Parsed) -> bool:
        """True for a comparison, a sum or the like, which can be no operand. A function can, by its
        syntax."""
        return parsed.op is not None and parsed.op not in FUNCTIONS.values()

    def _require_condition(self) -> None:
        if self._done[-1].op is None:
            self._tokens.refuse()
        self._check(self._done[-1], Kind.CONDITION)

    def _check(self, parsed: _Parsed, kind: Kind) -> None:
        """Refuses ``parsed`` where the grammar wants ``kind``; the error blames the current
        token."""
        if parsed.op is None:
            if kind is Kind.CONDITION:
                self._tokens.refuse()
        elif parsed.op not in ALLOWED[kind]:
            if parsed.op in FUNCTIONS.values():
                refuse_function(self._tokens.parameter, parsed.op)
            self._tokens.refuse()


def _call(op: Op, operands: list[_Parsed]) -> _Parsed:
    terms: list[Term] = [Call(op, len(operands))]
    for operand in operands:
        terms += operand.terms
    return _Parsed(terms, op)

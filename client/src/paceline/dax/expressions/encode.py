"""Encodes a tree as wire bytes (docs/dax-protocol.md section 7), and as canonical bytes for cache
keys."""

from dataclasses import dataclass

from paceline.dax.cbor import TAG_PATH_INDEX, write_array, write_int, write_tag, write_text
from paceline.dax.expressions.decode import read_condition, read_projection
from paceline.dax.expressions.tree import (
    FORMAT_VERSION,
    Call,
    Expression,
    Group,
    Op,
    Path,
    PathTerm,
    Term,
    Variable,
)
from paceline.dax.values import write_value
from paceline.types import AttributeValue

_WITHOUT_VALUES = 0x82
"""The first byte of a projection, which is an array of two. Conditions and updates have three
parts."""


def write_expression(tree: Expression) -> bytes:
    """Returns the bytes of a condition or an update."""
    out = bytearray()
    write_array(out, 3)
    write_int(out, FORMAT_VERSION)
    _write_terms(out, tree.terms)
    write_array(out, len(tree.values))
    for value in tree.values:
        write_value(out, value)
    return bytes(out)


def write_projection(paths: tuple[Path, ...]) -> bytes:
    out = bytearray()
    write_array(out, 2)
    write_int(out, FORMAT_VERSION)
    _write_terms(out, (Group(len(paths)), *map(PathTerm, paths)))
    return bytes(out)


def _write_terms(out: bytearray, terms: tuple[Term, ...]) -> None:
    for term in terms:
        match term:
            case Call(op, arity):
                write_array(out, 1 + arity)
                write_int(out, op)
            case Group(count):
                write_array(out, count)
            case Variable(slot):
                write_array(out, 2)
                write_int(out, Op.VARIABLE)
                write_int(out, slot)
            case PathTerm(path):
                write_array(out, 1 + len(path))
                write_int(out, Op.PATH)
                for element in path:
                    if isinstance(element, str):
                        write_text(out, element)
                    else:
                        write_tag(out, TAG_PATH_INDEX)
                        write_int(out, element)


def normalized_key(data: bytes) -> bytes:
    """Returns canonical bytes of a condition, filter, key condition or projection, for cache keys.

    Two encodings of one expression text give equal bytes, whichever client made them: values are
    numbered by first use, equal values have one number, and unused ones none. Numbers are in
    canonical form, and chains of AND and of OR lean to the right. Raises as the decoders do.
    """
    if data[:1] == bytes((_WITHOUT_VALUES,)):
        return write_projection(read_projection(data))
    return write_expression(_renumbered(lean_right(read_condition(data))))


def _renumbered(tree: Expression) -> Expression:
    slots: dict[bytes, int] = {}
    values: list[AttributeValue] = []
    terms: list[Term] = []
    for term in tree.terms:
        if isinstance(term, Variable):
            value = tree.values[term.slot]
            encoded = bytearray()
            write_value(encoded, value)
            slot = slots.setdefault(bytes(encoded), len(slots))
            if slot == len(values):
                values.append(value)
            terms.append(Variable(slot))
        else:
            terms.append(term)
    return Expression(tuple(terms), tuple(values))


@dataclass(slots=True)
class _Chain:
    """A subtree. For AND and OR it holds the links of the chain, else one link."""

    op: Op | None
    links: list[list[Term]]

    def folded(self) -> list[Term]:
        *init, last = self.links
        terms: list[Term] = []
        for link in init:
            assert self.op is not None
            terms.append(Call(self.op, 2))
            terms += link
        return terms + last


def lean_right(tree: Expression) -> Expression:
    """Returns the same condition with every ``(a AND b) AND c`` as ``a AND (b AND c)``; with OR
    likewise."""
    done: list[_Chain] = []
    for term in reversed(tree.terms):
        match term:
            case Call(op, arity):
                operands = [done.pop() for _ in range(arity)]
                if op in (Op.AND, Op.OR):
                    links = [
                        link
                        for operand in operands
                        for link in (operand.links if operand.op is op else [operand.folded()])
                    ]
                    done.append(_Chain(op, links))
                else:
                    done.append(_Chain(None, [_joined(term, operands)]))
            case Group(count):
                done.append(_Chain(None, [_joined(term, [done.pop() for _ in range(count)])]))
            case _:
                done.append(_Chain(None, [[term]]))
    (root,) = done
    return Expression(tuple(root.folded()), tree.values)


def _joined(head: Term, operands: list[_Chain]) -> list[Term]:
    terms = [head]
    for operand in operands:
        terms += operand.folded()
    return terms

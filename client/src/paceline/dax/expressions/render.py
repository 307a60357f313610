"""Renders a tree as the text of a DynamoDB expression.

Attribute names always become ``#`` placeholders: the tree does not tell ``#n`` from a literal name,
and a name may be a reserved word or hold dots. An AND or OR inside the other, and the operand of
every NOT, get one pair of parentheses. Chains of one operator get none, so that 300 ANDs do not
nest and no pair is doubled, which DynamoDB refuses.
"""

from dataclasses import dataclass, field

from paceline.dax.expressions.tree import (
    ACTIONS,
    SYMBOLS,
    Call,
    Expression,
    Group,
    Op,
    Path,
    PathTerm,
    Variable,
)
from paceline.dax.values import write_value
from paceline.types import AttributeValue


@dataclass
class Placeholders:
    """The ExpressionAttributeNames and -Values of one DynamoDB request, shared by its expressions.

    They are numbered in the order of first use: ``#0``, ``#1`` …, ``:0``, ``:1`` …. Equal names
    share a placeholder, and so do equal values.
    """

    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, AttributeValue] = field(default_factory=dict)
    _of_name: dict[str, str] = field(default_factory=dict, repr=False)
    _of_value: dict[bytes, str] = field(default_factory=dict, repr=False)

    def name(self, name: str) -> str:
        placeholder = self._of_name.get(name)
        if placeholder is None:
            placeholder = self._of_name[name] = f"#{len(self.names)}"
            self.names[placeholder] = name
        return placeholder

    def value(self, value: AttributeValue) -> str:
        encoded = bytearray()
        write_value(encoded, value)
        key = bytes(encoded)
        placeholder = self._of_value.get(key)
        if placeholder is None:
            placeholder = self._of_value[key] = f":{len(self.values)}"
            self.values[placeholder] = value
        return placeholder

    def path(self, path: Path) -> str:
        first, *rest = path
        text = self.name(str(first))
        for element in rest:
            text += f".{self.name(element)}" if isinstance(element, str) else f"[{element}]"
        return text


def render_condition(tree: Expression, placeholders: Placeholders) -> str:
    (root,) = _render(tree, placeholders)
    return root.text


def render_update(tree: Expression, placeholders: Placeholders) -> str:
    """Returns the text of an update. Actions are grouped by clause, in the tree's order within
    each."""
    actions = _render(Expression(tree.terms[1:], tree.values), placeholders)
    clauses = []
    for op in ACTIONS:
        texts = [action.text for action in actions if action.op is op]
        if texts:
            clauses.append(f"{op.name} {', '.join(texts)}")
    return " ".join(clauses)


def render_projection(paths: tuple[Path, ...], placeholders: Placeholders) -> str:
    return ", ".join(placeholders.path(path) for path in paths)


@dataclass(slots=True)
class _Text:
    text: str
    op: Op | None = None


def _render(tree: Expression, placeholders: Placeholders) -> list[_Text]:
    """Returns the texts of the trees that follow one another in ``tree.terms``."""
    leaves = [  # forward, so that placeholders are numbered in reading order
        placeholders.path(term.path)
        if isinstance(term, PathTerm)
        else placeholders.value(tree.values[term.slot])
        for term in tree.terms
        if isinstance(term, PathTerm | Variable)
    ]
    done: list[_Text] = []
    for term in reversed(tree.terms):
        match term:
            case Call(op, arity):
                operands = [done.pop() for _ in range(arity)]
                done.append(_Text(_call(op, operands), op))
            case Group(count):
                done.append(_Text(", ".join(done.pop().text for _ in range(count))))
            case _:
                done.append(_Text(leaves.pop()))
    done.reverse()
    return done


def _call(op: Op, operands: list[_Text]) -> str:
    texts = [operand.text for operand in operands]
    match op:
        case Op.AND | Op.OR:
            return f" {op.name} ".join(
                f"({o.text})" if o.op in (Op.AND, Op.OR) and o.op is not op else o.text
                for o in operands
            )
        case Op.NOT:
            return f"NOT ({texts[0]})"
        case Op.BETWEEN:
            return f"{texts[0]} BETWEEN {texts[1]} AND {texts[2]}"
        case Op.IN:
            return f"{texts[0]} IN ({texts[1]})"
        case Op.SET:
            return f"{texts[0]} = {texts[1]}"
        case Op.ADD | Op.DELETE:
            return f"{texts[0]} {texts[1]}"
        case Op.REMOVE:
            return texts[0]
    if op in SYMBOLS:
        return f" {SYMBOLS[op]} ".join(texts)
    return f"{op.name.lower()}({', '.join(texts)})"

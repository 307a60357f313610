"""Decodes wire bytes into a tree (docs/dax-protocol.md section 7).

Raises ``RequestError`` for a tree that says nothing DynamoDB would understand, and
``ProtocolError`` for bytes that are no CBOR.
"""

from paceline.dax.cbor import ARRAY, NINT, TAG, TAG_PATH_INDEX, TEXT, UINT, Reader
from paceline.dax.expressions.tree import (
    ALLOWED,
    DEPTH_MAX,
    EXPRESSION_BYTES_MAX,
    FORMAT_VERSION,
    FUNCTIONS,
    GROUPS,
    LIST_INDEX_MAX,
    OPERANDS,
    TERMS_MAX,
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
from paceline.dax.values import read_value
from paceline.errors import RequestError
from paceline.types import AttributeValue

_FUNCTION_OPS = frozenset(FUNCTIONS.values())


def read_condition(data: bytes, parameter: Parameter = "ConditionExpression") -> Expression:
    return _TreeReader(data, parameter).read(Kind.CONDITION, with_values=True)


def read_update(data: bytes) -> Expression:
    return _TreeReader(data, "UpdateExpression").read(Kind.ACTIONS, with_values=True)


def read_projection(data: bytes) -> tuple[Path, ...]:
    """Returns the paths by ordinal. Overlapping paths are refused, as DynamoDB refuses them."""
    tree = _TreeReader(data, "ProjectionExpression").read(Kind.PATHS, with_values=False)
    paths = tuple(term.path for term in tree.terms if isinstance(term, PathTerm))
    require_disjoint(paths, "ProjectionExpression")
    return paths


class _TreeReader:
    """Reads one expression. Every array is counted before anything is kept for it."""

    def __init__(self, data: bytes, parameter: Parameter) -> None:
        self._reader = Reader(data)
        self._parameter: Parameter = parameter
        self._size = 0
        self._slots_needed = 0

    def read(self, root: Kind, *, with_values: bool) -> Expression:
        reader = self._reader
        if self._array() != (3 if with_values else 2):
            raise self._malformed("it has the wrong number of parts")
        version = self._int()
        if version != FORMAT_VERSION:
            raise self._malformed(f"format version {version} is not known")
        terms = self._terms(root)
        values = self._values() if with_values else ()
        if not reader.done():
            raise self._malformed("bytes follow after it")
        if self._slots_needed > len(values):
            raise invalid(
                self._parameter,
                "An expression attribute value used in expression is not defined; "
                f"attribute value: number {self._slots_needed - 1} of {len(values)}",
            )
        return Expression(tuple(terms), values)

    def _terms(self, root: Kind) -> list[Term]:
        terms: list[Term] = []
        expected = [(root, 1, 1)]  # kind, how many of it, level
        while expected:
            kind, count, level = expected.pop()
            if count > 1:
                expected.append((kind, count - 1, level))
            if level > DEPTH_MAX:
                raise invalid(self._parameter, f"The expression nests more than {DEPTH_MAX} levels")
            self._count(1)
            length = self._array()
            if kind in GROUPS:
                if length == 0:
                    raise invalid(self._parameter, "The expression can not be empty;")
                self._count(length)
                terms.append(Group(length))
                expected.append((GROUPS[kind], length, level + 1))
                continue
            if length == 0:
                raise self._malformed("it has an empty node")
            op = self._op(kind)
            if op is Op.PATH:
                terms.append(PathTerm(self._path(length - 1)))
            elif op is Op.VARIABLE:
                terms.append(self._variable(length - 1))
            else:
                operands = OPERANDS[op]
                if length - 1 != len(operands):
                    refuse_operand_count(self._parameter, op, length - 1)
                terms.append(Call(op, length - 1))
                expected.extend((operand, 1, level + 1) for operand in reversed(operands))
        return terms

    def _op(self, kind: Kind) -> Op:
        code = self._int()
        try:
            op = Op(code)
        except ValueError:
            raise self._malformed(f"operator {code} is not known") from None
        if op not in ALLOWED[kind]:
            if op in _FUNCTION_OPS and kind not in (Kind.ACTION, Kind.PATH, Kind.VALUE):
                refuse_function(self._parameter, op)
            raise self._malformed(f"{op.name} stands in the place of: {kind.value}")
        return op

    def _path(self, length: int) -> Path:
        reader = self._reader
        if length == 0:
            raise self._malformed("it has an empty document path")
        self._count(length)
        path: list[str | int] = []
        for _ in range(length):
            major = reader.peek_major()
            if major == TEXT:
                path.append(reader.read_text())
            elif major == TAG and path and reader.read_tag() == TAG_PATH_INDEX:
                index = self._int()
                if not 0 <= index <= LIST_INDEX_MAX:
                    raise invalid(
                        self._parameter,
                        f"List index is not within the allowable range; index: [{index}]",
                    )
                path.append(index)
            else:
                raise self._malformed("a document path has an element that is no name or index")
        return tuple(path)

    def _variable(self, length: int) -> Variable:
        if length != 1:
            raise self._malformed("a value has not exactly one number")
        slot = self._int()
        if slot < 0:
            raise self._malformed(f"a value has the number {slot}")
        self._slots_needed = max(self._slots_needed, slot + 1)
        return Variable(slot)

    def _values(self) -> tuple[AttributeValue, ...]:
        reader = self._reader
        if reader.peek_major() != ARRAY:
            raise self._malformed("its values are not an array")
        count = reader.read_array()
        values: list[AttributeValue] = []
        while reader.more(len(values), count):
            values.append(read_value(reader))
        return tuple(values)

    def _array(self) -> int:
        if self._reader.peek_major() != ARRAY:
            raise self._malformed("an array is missing")
        length = self._reader.read_array()
        if length < 0:
            raise self._malformed("an array has no definite length")
        return length

    def _int(self) -> int:
        # Big integers would be no operator, version, slot or index that anything knows.
        if self._reader.peek_major() not in (UINT, NINT):
            raise self._malformed("an integer is missing")
        return self._reader.read_int()

    def _count(self, terms: int) -> None:
        self._size += terms
        if self._size > TERMS_MAX:
            raise invalid(
                self._parameter,
                "Expression size has exceeded the maximum allowed size; more than "
                f"{TERMS_MAX} operands do not fit into {EXPRESSION_BYTES_MAX} bytes",
            )

    def _malformed(self, problem: str) -> RequestError:
        return invalid(self._parameter, f"The encoded expression is malformed: {problem}")


class _Branch:
    """The paths seen so far, as they go on from one place of an item. ``end`` is the path that ends
    there, if one does."""

    __slots__ = ("children", "end")

    def __init__(self) -> None:
        self.children: dict[str | int, _Branch] = {}
        self.end = False

    def some_path(self, start: Path) -> Path:
        """Returns one of the paths that go through here, for messages."""
        branch, path = self, list(start)
        while not branch.end:
            element, branch = next(iter(branch.children.items()))
            path.append(element)
        return tuple(path)


def require_disjoint(paths: tuple[Path, ...], parameter: Parameter) -> None:
    """Raises if one of two paths contains the other, or if they see a list and a map at one place.

    DynamoDB refuses both, in these words. A node answers projections from its cache without asking
    DynamoDB, so it must say the same.
    """
    root = _Branch()
    for path in paths:
        branch = root
        for depth, element in enumerate(path):
            if branch.end:
                raise _clash("overlap", parameter, path[:depth], path)
            child = branch.children.get(element)
            if child is None:
                other = next(iter(branch.children), element)
                if isinstance(other, str) != isinstance(element, str):
                    there = branch.children[other].some_path((*path[:depth], other))
                    raise _clash("conflict", parameter, there, path)
                child = branch.children[element] = _Branch()
            branch = child
        if branch.end or branch.children:
            raise _clash("overlap", parameter, branch.some_path(path), path)
        branch.end = True


def _clash(how: str, parameter: Parameter, one: Path, two: Path) -> RequestError:
    return invalid(
        parameter,
        f"Two document paths {how} with each other; must remove or rewrite one of these paths; "
        f"path one: [{_listed(one)}], path two: [{_listed(two)}]",
    )


def _listed(path: Path) -> str:
    return ", ".join(e if isinstance(e, str) else f"[{e}]" for e in path)

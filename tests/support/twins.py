"""The same calls made twice: through DAX on one table, straight to DynamoDB on its twin.

Whatever DynamoDB answers is right by definition, so a test needs no expectations of its own.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

DIGITS_MAX = 38
SETS = frozenset({"SS", "NS", "BS"})
UNORDERED = frozenset({"BatchGetItem", "BatchWriteItem", "Scan"})
"""Operations whose lists have no order that DynamoDB promises."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Refusal:
    """An error as an application sees it."""

    code: str
    message: str
    status: int | None
    reasons: Any = None


@dataclass(frozen=True)
class Tables:
    """Logical table names to those of one side, all of one length."""

    names: Mapping[str, str]

    def real(self, value: Any) -> Any:
        """Parameters with this side's table names."""
        match value:
            case dict():
                return {
                    self.names.get(key, key): (
                        self.names.get(item, item)
                        if key == "TableName" and isinstance(item, str)
                        else self.real(item)
                    )
                    for key, item in value.items()
                }
            case list():
                return [self.real(item) for item in value]
        return value

    def logical(self, value: Any) -> Any:
        """Results with logical table names."""
        match value:
            case dict():
                return {self.logical(key): self.logical(item) for key, item in value.items()}
            case list():
                return [self.logical(item) for item in value]
            case str():
                for logical, real in self.names.items():
                    value = value.replace(real, logical)
        return value


def normalized(value: Any) -> Any:
    """Low-level values in one spelling: fractions plain, sets and names sorted."""
    match value:
        case {"N": str(text), **rest} if not rest:
            return {"N": _number(text)}
        case dict() if len(value) == 1 and SETS & value.keys():
            ((kind, elements),) = value.items()
            elements = [_number(text) for text in elements] if kind == "NS" else elements
            return {kind: sorted(elements)}
        case dict():
            return {key: normalized(value[key]) for key in sorted(value)}
        case list():
            return [normalized(item) for item in value]
        case bytearray() | memoryview():
            return bytes(value)
    return value


def _number(text: str) -> str:
    """Integers that fit DynamoDB's 38 digits stay as they are: every client can show them as
    DynamoDB does, and ``1E+1`` breaks programs that want ``10``."""
    number = Decimal(text)
    plain = f"{number.normalize():f}" if number else "0"
    digits = plain.lstrip("-")
    return text if digits.isdecimal() and len(digits) <= DIGITS_MAX else plain


def outcome(call: Callable[..., Any], operation: str, tables: Tables, params: Any) -> Any:
    """What a low-level call comes to: its result or ``Refusal``, ready to be compared."""
    try:
        result = dict(call(**tables.real(params)))
    except ClientError as error:
        return _refusal(error, tables)
    result.pop("ResponseMetadata", None)
    found = normalized(tables.logical(result))
    return _sorted_lists(found) if operation in UNORDERED else found


def _refusal(error: ClientError, tables: Tables) -> Refusal:
    details: Mapping[str, Any] = error.response.get("Error", {})
    metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    reasons: Any = error.response.get("CancellationReasons")
    flat = getattr(error, "cancellation_reasons", None)
    if flat is not None:
        # The Python DAX client shows (code, message, item bytes) per item, undecoded.
        reasons = [
            {"Code": code, "Message": message, "Item": item}
            for code, message, item in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]
    if reasons is not None:
        reasons = [
            (reason.get("Code"), reason.get("Message"), bool(reason.get("Item")))
            for reason in reasons
        ]
    return Refusal(
        str(details.get("Code", "")),
        str(tables.logical(details.get("Message", ""))),
        metadata.get("HTTPStatusCode"),
        reasons,
    )


def _sorted_lists(value: Any, depth: int = 0) -> Any:
    """Lists of items outside of items sorted by their text."""
    match value:
        case dict() if depth <= 2:
            return {key: _sorted_lists(item, depth + 1) for key, item in value.items()}
        case list() if depth <= 2:
            return sorted(value, key=repr)
    return value


class Twins:
    """Pairs of tables, and calls on both."""

    def __init__(self, dax: Any, plain: Any) -> None:
        self.dax = dax
        """The official client's low-level API, or anything with its methods."""
        self.plain = plain
        """boto3's low-level client straight on the same DynamoDB."""
        self._cached: dict[str, str] = {}
        self._direct: dict[str, str] = {}

    def create(self, logical: str, **definition: Any) -> None:
        number = f"{os.getpid()}-{next(_numbers)}"
        for side, names in (("dax", self._cached), ("ddb", self._direct)):
            names[logical] = f"{logical}-{number}-{side}"
            self.plain.create_table(
                TableName=names[logical], BillingMode="PAY_PER_REQUEST", **definition
            )

    def drop_all(self) -> None:
        for name in (*self._cached.values(), *self._direct.values()):
            self.plain.delete_table(TableName=name)

    @property
    def cached(self) -> Tables:
        return Tables(self._cached)

    @property
    def direct(self) -> Tables:
        return Tables(self._direct)

    def both(self, operation: str, **params: Any) -> tuple[Any, Any]:
        """(through DAX, straight)."""
        method = method_of(operation)
        return (
            outcome(getattr(self.dax, method), operation, self.cached, params),
            outcome(getattr(self.plain, method), operation, self.direct, params),
        )

    def same(self, operation: str, **params: Any) -> Any:
        """The common outcome; AssertionError with both when they differ."""
        through, straight = self.both(operation, **params)
        assert through == straight, (
            f"{operation}({params})\n  through DAX: {through}\n  straight:    {straight}"
        )
        return straight

    def dump(self, logical: str) -> tuple[list[Any], list[Any]]:
        """All items of both tables as DynamoDB has them, to find wrongly written ones."""
        found = []
        for names in (self._cached, self._direct):
            items: list[Any] = []
            page: Any = self.plain.scan(TableName=names[logical], ConsistentRead=True)
            items += page["Items"]
            while "LastEvaluatedKey" in page:
                page = self.plain.scan(
                    TableName=names[logical],
                    ConsistentRead=True,
                    ExclusiveStartKey=page["LastEvaluatedKey"],
                )
                items += page["Items"]
            found.append(sorted(normalized(items), key=repr))
        return found[0], found[1]


def standard_twins(dax: Any, plain: Any) -> Iterator[Twins]:
    """Tables of every schema, dropped at the end: the body of a fixture."""
    pairs = Twins(dax, plain)
    for name in ("hash", "range", "bytes", "numbers"):
        pairs.create(name, **schema(name))
    yield pairs
    pairs.drop_all()


def method_of(operation: str) -> str:
    """``GetItem`` -> ``get_item``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")


def keys(*parts: tuple[str, str]) -> dict[str, Any]:
    """``create``'s definition of a primary key from (name, type) of hash and range."""
    return {
        "KeySchema": [
            {"AttributeName": name, "KeyType": role}
            for (name, _), role in zip(parts, ("HASH", "RANGE"), strict=False)
        ],
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": type_} for name, type_ in parts
        ],
    }


def schema(table: str) -> dict[str, Any]:
    """The definitions that the conformance tests use, by their logical names.

    ``hash``: id S · ``range``: pk S, sk N, LSI ``local`` on l S, GSIs ``global`` on g S and sk N,
    ``sparse`` on h N · ``bytes``: pk B, sk B · ``numbers``: pk N, sk S
    """
    match table:
        case "hash":
            return keys(("id", "S"))
        case "bytes":
            return keys(("pk", "B"), ("sk", "B"))
        case "numbers":
            return keys(("pk", "N"), ("sk", "S"))
        case "range":
            definition = keys(("pk", "S"), ("sk", "N"))
            definition["AttributeDefinitions"] += [
                {"AttributeName": "l", "AttributeType": "S"},
                {"AttributeName": "g", "AttributeType": "S"},
                {"AttributeName": "h", "AttributeType": "N"},
            ]
            definition["LocalSecondaryIndexes"] = [
                {
                    "IndexName": "local",
                    "KeySchema": keys(("pk", "S"), ("l", "S"))["KeySchema"],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ]
            definition["GlobalSecondaryIndexes"] = [
                {
                    "IndexName": "global",
                    "KeySchema": keys(("g", "S"), ("sk", "N"))["KeySchema"],
                    "Projection": {"ProjectionType": "ALL"},
                },
                {
                    "IndexName": "sparse",
                    "KeySchema": keys(("h", "N"))["KeySchema"],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
            ]
            return definition
    raise KeyError(table)

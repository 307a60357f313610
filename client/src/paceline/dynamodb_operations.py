"""A table of DynamoDB's operations, of what each may change, and of their limits. Pure.

An operation that is not in the table is one of a later day: nobody may take it for a read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

BATCH_GET_KEYS_MAX: Final = 100
BATCH_WRITE_ITEMS_MAX: Final = 25
TRANSACTION_ITEMS_MAX: Final = 100
"""DynamoDB refuses requests with more (Developer Guide, "Service, account, and table quotas").
Nodes check it because they answer parts of a batch themselves."""

THROTTLING_ERRORS: Final = (
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
)
"""The errors by which DynamoDB refuses what is too much right now. Nothing was done then."""


class Access(Enum):
    READS = auto()
    """The operation surely changes nothing."""
    WRITES = auto()
    """The operation changes items."""
    STATEMENTS = auto()
    """PartiQL: its statements tell whether it reads or writes."""
    TABLES = auto()
    """The operation makes, changes or deletes a table, which may have other items and keys
    afterwards."""
    SETTINGS = auto()
    """The operation changes neither items nor how tables answer."""


class Named(Enum):
    """Where a request names the tables that it is about: a parameter."""

    NOWHERE = 0
    TABLE = "TableName"
    TARGET = "TargetTableName"
    GLOBAL_TABLE = "GlobalTableName"
    CREATED = "TableCreationParameters"
    """They are named in its ``TableName``."""
    REQUEST_ITEMS = "RequestItems"
    """Its keys name them."""
    TRANSACT_ITEMS = "TransactItems"
    """The ``TableName`` of what each member holds names them."""
    STATEMENTS = 1
    """The statements' text names them."""


@dataclass(frozen=True, slots=True)
class Operation:
    """``carried``: DAX's protocol has a method for it. ``statements``: the parameter with the
    statements, "" if the parameters are one themselves, None if there are none. ``token``: the
    parameter with the token under which DynamoDB does it once."""

    name: str
    effect: Access
    named: Named = Named.NOWHERE
    carried: bool = False
    statements: str | None = None
    token: str | None = None


def _several(effect: Access, named: Named, *names: str, carried: bool = False) -> list[Operation]:
    return [Operation(name, effect, named, carried) for name in names]


_ALL: Final = [
    *_several(Access.READS, Named.TABLE, "GetItem", "Query", "Scan", carried=True),
    Operation("BatchGetItem", Access.READS, Named.REQUEST_ITEMS, carried=True),
    Operation("TransactGetItems", Access.READS, Named.TRANSACT_ITEMS, carried=True),
    *_several(Access.WRITES, Named.TABLE, "PutItem", "UpdateItem", "DeleteItem", carried=True),
    Operation("BatchWriteItem", Access.WRITES, Named.REQUEST_ITEMS, carried=True),
    Operation(
        "TransactWriteItems",
        Access.WRITES,
        Named.TRANSACT_ITEMS,
        carried=True,
        token="ClientRequestToken",
    ),
    Operation("ExecuteStatement", Access.STATEMENTS, Named.STATEMENTS, statements=""),
    Operation(
        "BatchExecuteStatement", Access.STATEMENTS, Named.STATEMENTS, statements="Statements"
    ),
    Operation(
        "ExecuteTransaction",
        Access.STATEMENTS,
        Named.STATEMENTS,
        statements="TransactStatements",
        token="ClientRequestToken",
    ),
    *_several(
        Access.TABLES,
        Named.TABLE,
        "CreateTable",
        "DeleteTable",
        "UpdateTable",
        "UpdateTableReplicaAutoScaling",
        "UpdateTimeToLive",
    ),
    *_several(
        Access.TABLES,
        Named.GLOBAL_TABLE,
        "CreateGlobalTable",
        "UpdateGlobalTable",
        "UpdateGlobalTableSettings",
    ),
    *_several(Access.TABLES, Named.TARGET, "RestoreTableFromBackup", "RestoreTableToPointInTime"),
    Operation("ImportTable", Access.TABLES, Named.CREATED, token="ClientToken"),
    *_several(
        Access.READS,
        Named.TABLE,
        "DescribeContinuousBackups",
        "DescribeContributorInsights",
        "DescribeKinesisStreamingDestination",
        "DescribeTable",
        "DescribeTableReplicaAutoScaling",
        "DescribeTimeToLive",
        "ListBackups",
        "ListContributorInsights",
        "SearchVectors",
    ),
    *_several(
        Access.READS, Named.GLOBAL_TABLE, "DescribeGlobalTable", "DescribeGlobalTableSettings"
    ),
    *_several(
        Access.READS,
        Named.NOWHERE,
        "DescribeBackup",
        "DescribeEndpoints",
        "DescribeExport",
        "DescribeImport",
        "DescribeLimits",
        "GetResourcePolicy",
        "ListExports",
        "ListGlobalTables",
        "ListImports",
        "ListTables",
        "ListTagsOfResource",
    ),
    *_several(
        Access.SETTINGS,
        Named.TABLE,
        "CreateBackup",
        "DisableKinesisStreamingDestination",
        "EnableKinesisStreamingDestination",
        "UpdateContinuousBackups",
        "UpdateContributorInsights",
        "UpdateKinesisStreamingDestination",
    ),
    *_several(
        Access.SETTINGS,
        Named.NOWHERE,
        "CancelBulkOperation",
        "DeleteBackup",
        "DeleteResourcePolicy",
        "PutResourcePolicy",
        "TagResource",
        "UntagResource",
    ),
    Operation("ExportTableToPointInTime", Access.SETTINGS, token="ClientToken"),
]

OPERATIONS: Final[Mapping[str, Operation]] = {each.name: each for each in _ALL}

CARRIED: Final = frozenset(each.name for each in OPERATIONS.values() if each.carried)
"""The operations that DAX's protocol has methods for."""

_SELECT: Final = re.compile(r"\s*SELECT\b", re.IGNORECASE)


def names_with(effect: Access) -> frozenset[str]:
    return frozenset(each.name for each in OPERATIONS.values() if each.effect is effect)


READS: Final = names_with(Access.READS)
WRITES: Final = names_with(Access.WRITES)
TABLES: Final = names_with(Access.TABLES)
PARTIQL: Final = names_with(Access.STATEMENTS)


def statements_of(operation: str, params: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The parameters of each statement of a PartiQL operation."""
    name = OPERATIONS[operation].statements
    assert name is not None, f"{operation} has no statements"
    return tuple(params.get(name, ())) if name else (params,)


def only_reads(operation: str, params: Mapping[str, Any]) -> bool:
    """True if the call surely changes nothing, so that it may be asked of several nodes."""
    if operation in READS:
        return True
    if operation not in PARTIQL:
        return False
    return all(_SELECT.match(one.get("Statement", "")) for one in statements_of(operation, params))


_OF_ONE_TABLE: Final = frozenset(
    each.name for each in OPERATIONS.values() if each.named is Named.TABLE
)


def named_tables(operation: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """The tables that the request names, as names or ARNs, each once. None where the parameters
    are not as DynamoDB has them; those in the text of statements are not looked for."""
    if operation in _OF_ONE_TABLE:
        return _text(params.get("TableName"))
    found = OPERATIONS.get(operation)
    return () if found is None else tuple(dict.fromkeys(_names(found.named, params)))


def _names(named: Named, params: Mapping[str, Any]) -> Iterator[str]:
    value = params.get(named.value) if isinstance(named.value, str) else None
    if named is Named.REQUEST_ITEMS:
        yield from (name for name in _mapping(value) if isinstance(name, str))
    elif named is Named.TRANSACT_ITEMS:
        for entry in value if isinstance(value, list | tuple) else ():
            for part in _mapping(entry).values():
                yield from _text(_mapping(part).get("TableName"))
    elif named is Named.CREATED:
        yield from _text(_mapping(value).get("TableName"))
    else:
        yield from _text(value)


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else ()

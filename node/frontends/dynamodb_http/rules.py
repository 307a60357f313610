"""What is known of operations that are not data operations. Pure."""

from __future__ import annotations

from typing import Any

from node.frontends.dynamodb_http.parameters import table_of

DYNAMODB = "DynamoDB_20120810"
STREAMS = "DynamoDBStreams_20120810"

READS = frozenset(
    {
        "BatchGetItem",
        "GetItem",
        "GetResourcePolicy",
        "Query",
        "Scan",
        "SearchVectors",
        "TransactGetItems",
    }
)
PARTIQL = frozenset({"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"})

HARMLESS = frozenset(
    {
        "CancelBulkOperation",
        "CreateBackup",
        "DeleteBackup",
        "DeleteResourcePolicy",
        "DisableKinesisStreamingDestination",
        "EnableKinesisStreamingDestination",
        "ExportTableToPointInTime",
        "PutResourcePolicy",
        "TagResource",
        "UntagResource",
        "UpdateContinuousBackups",
        "UpdateContributorInsights",
        "UpdateKinesisStreamingDestination",
    }
)
"""They change neither items nor how tables answer."""


def only_reads(operation: str) -> bool:
    return operation in READS or operation.startswith(("Describe", "List"))


def changed_table(body: dict[str, Any]) -> str | None:
    """The table that a control operation makes, changes or deletes."""
    creation = body.get("TableCreationParameters")
    names = (
        body.get("TargetTableName"),
        creation.get("TableName") if isinstance(creation, dict) else None,
        body.get("TableName"),
        body.get("GlobalTableName"),
    )
    return next((table for table in map(table_of, names) if table is not None), None)


def named_tables(operation: str, body: dict[str, Any]) -> tuple[str, ...]:
    """All tables that a data write names, as far as that can be read; without them DynamoDB
    cannot do it."""
    found: list[str | None] = []
    if operation == "BatchWriteItem":
        requests = body.get("RequestItems")
        found = [table_of(name) for name in requests] if isinstance(requests, dict) else []
    elif operation == "TransactWriteItems":
        for action in _elements(body.get("TransactItems")):
            parts = action.values() if isinstance(action, dict) else ()
            found += [table_of(part.get("TableName")) for part in parts if isinstance(part, dict)]
    else:
        found = [table_of(body.get("TableName"))]
    return tuple(dict.fromkeys(table for table in found if table is not None))


def _elements(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

"""All operations but those on items, by one table of them. Pure.

Each needs its own action on what it is about, as AWS's Service Authorization Reference says; some
need others besides, which they carry out on the way. ``aws:RequestTag`` and ``aws:TagKeys`` are
known of those that tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from node.access.need import REQUEST_TAG, TAG_KEYS, Facts, Need
from node.access.places import Place, index_of

Params = Mapping[str, Any]
Resources = Callable[[Place, Params], tuple[str, ...]]


def _table(place: Place, params: Params) -> tuple[str, ...]:
    return place.tables(params.get("TableName"))


def _tables(place: Place, params: Params) -> tuple[str, ...]:
    """Of lists that may be about one table alone."""
    return place.tables(params.get("TableName")) if "TableName" in params else (place.any_table,)


def _target(place: Place, params: Params) -> tuple[str, ...]:
    return place.tables(params.get("TargetTableName"))


def _index(place: Place, params: Params) -> tuple[str, ...]:
    """Of operations that name an index only if they are about one."""
    tables = _table(place, params)
    index = params.get("IndexName")
    return tables if index is None else tuple(index_of(table, index) for table in tables)


def _global_table(place: Place, params: Params) -> tuple[str, ...]:
    """Global tables of the first version have the name of the tables that they are made of."""
    name = params.get("GlobalTableName")
    return (place.global_table(name), *place.tables(name))


def _created(place: Place, params: Params) -> tuple[str, ...]:
    made = params.get("TableCreationParameters")
    return place.tables(made.get("TableName") if isinstance(made, Mapping) else None)


def _named(parameter: str) -> Resources:
    return lambda place, params: place.named(params.get(parameter))


def _named_or_all(parameter: str) -> Resources:
    def resources(place: Place, params: Params) -> tuple[str, ...]:
        return place.named(params[parameter]) if parameter in params else (place.any_table,)

    return resources


def _source(place: Place, params: Params) -> tuple[str, ...]:
    """Of a restore to a point in time: from and to."""
    arn, name = params.get("SourceTableArn"), params.get("SourceTableName")
    by_name = place.tables(name) if arn is None or name is not None else ()
    by_arn = () if arn is None else place.named(arn)
    return (*by_name, *by_arn, *_target(place, params))


def _backup_and_target(place: Place, params: Params) -> tuple[str, ...]:
    return (*place.named(params.get("BackupArn")), *_target(place, params))


def _account(place: Place, params: Params) -> tuple[str, ...]:
    """What is about no table at all."""
    return (place.any_table,)


def _anything(place: Place, params: Params) -> tuple[str, ...]:
    """Of an operation whose parameters are not known: all, and whatever it may name."""
    texts = [value for value in params.values() if isinstance(value, str)]
    arns = [arn for text in texts if text.startswith("arn:") for arn in place.named(text)]
    return ("*", place.any_table, *(arns or map(place.own_table, texts)))


def _streams(place: Place, params: Params) -> tuple[str, ...]:
    if "TableName" not in params:
        return (place.any_stream,)
    return tuple(f"{table}/stream/*" for table in _table(place, params))


_ARN = re.compile(r"arn:[^|\s]+")


def _iterator(place: Place, params: Params) -> tuple[str, ...]:
    """The stream that a shard iterator is of; any, where it does not say. It is DynamoDB's, and
    given to those who were allowed GetShardIterator."""
    found = _ARN.search(str(params.get("ShardIterator")))
    return place.named(found.group()) if found else (place.any_stream,)


RESOURCES: Final[Mapping[str, Resources]] = {
    **dict.fromkeys(
        (
            *("CreateTable", "DeleteTable", "UpdateTable", "UpdateTableReplicaAutoScaling"),
            *("UpdateTimeToLive", "DescribeContinuousBackups", "DescribeTimeToLive"),
            *("DescribeKinesisStreamingDestination", "DescribeTable", "CreateBackup"),
            *("DescribeTableReplicaAutoScaling", "DisableKinesisStreamingDestination"),
            *("EnableKinesisStreamingDestination", "UpdateContinuousBackups"),
            "UpdateKinesisStreamingDestination",
        ),
        _table,
    ),
    **dict.fromkeys(
        ("DescribeContributorInsights", "UpdateContributorInsights", "SearchVectors"), _index
    ),
    **dict.fromkeys(("ListBackups", "ListContributorInsights"), _tables),
    **dict.fromkeys(
        (
            *("CreateGlobalTable", "UpdateGlobalTable", "UpdateGlobalTableSettings"),
            *("DescribeGlobalTable", "DescribeGlobalTableSettings"),
        ),
        _global_table,
    ),
    **dict.fromkeys(
        ("DescribeEndpoints", "DescribeLimits", "ListGlobalTables", "ListTables"), _account
    ),
    **dict.fromkeys(("DescribeBackup", "DeleteBackup"), _named("BackupArn")),
    **dict.fromkeys(("ListExports", "ListImports"), _named_or_all("TableArn")),
    **dict.fromkeys(
        (
            *("GetResourcePolicy", "PutResourcePolicy", "DeleteResourcePolicy"),
            *("ListTagsOfResource", "TagResource", "UntagResource"),
        ),
        _named("ResourceArn"),
    ),
    "DescribeExport": _named("ExportArn"),
    "DescribeImport": _named("ImportArn"),
    "ExportTableToPointInTime": _named("TableArn"),
    "ImportTable": _created,
    "RestoreTableFromBackup": _backup_and_target,
    "RestoreTableToPointInTime": _source,
    "CancelBulkOperation": _anything,
    "DescribeStream": _named("StreamArn"),
    "GetShardIterator": _named("StreamArn"),
    "GetRecords": _iterator,
    "ListStreams": _streams,
}
"""By operation, those of DynamoDB Streams at the end."""

_RESTORING: Final = (
    *("BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"),
)


def table_needs(operation: str, params: Params, place: Place) -> Iterator[Need]:
    """``operation`` is one of ``RESOURCES``."""

    def find() -> Facts:
        return _facts(operation, params)

    resources = tuple(dict.fromkeys(RESOURCES[operation](place, params)))
    for resource in resources:
        yield Need(f"dynamodb:{operation}", resource, find)
    created = _created if operation == "ImportTable" else _table
    if operation in ("CreateTable", "ImportTable"):
        for resource in created(place, params):
            if _tags(params):
                yield Need("dynamodb:TagResource", resource, find)
            if params.get("ResourcePolicy") is not None:
                yield Need("dynamodb:PutResourcePolicy", resource, find)
        if "GlobalTableSourceArn" in params:
            for resource in place.named(params["GlobalTableSourceArn"]):
                yield Need("dynamodb:AssociateTableReplica", resource, _all_items)
    if operation == "UpdateTable":
        for action in _replicating(params.get("ReplicaUpdates")):
            for resource in _table(place, params):
                yield Need(f"dynamodb:{action}", resource)
    if operation.startswith("RestoreTable"):
        for resource in _target(place, params):
            for action in _RESTORING:
                yield Need(f"dynamodb:{action}", resource, _all_items)


_REPLICATING: Final = {"Create": "CreateTableReplica", "Delete": "DeleteTableReplica"}


def _replicating(updates: object) -> set[str]:
    """The actions for replicas in other regions that come and go."""
    return {
        _REPLICATING[kind]
        for update in (updates if isinstance(updates, list | tuple) else ())
        for kind in (update if isinstance(update, Mapping) else ())
        if kind in _REPLICATING
    }


def _facts(operation: str, params: Params) -> Facts:
    facts = Facts()
    tags = _tags(params)
    for key, value in tags.items():
        facts.add(REQUEST_TAG + key.lower(), value)
    removed = params.get("TagKeys")
    keys = [key for key in removed if isinstance(key, str)] if isinstance(removed, list) else []
    if tags or keys:
        facts.add(TAG_KEYS, *tags, *keys)
    if operation == "SearchVectors":
        facts.hide("it is not known here what a search by vectors reads")
    return facts


def _tags(params: Params) -> dict[str, str]:
    listed = params.get("Tags")
    found = {}
    for tag in listed if isinstance(listed, list | tuple) else ():
        key, value = (tag.get("Key"), tag.get("Value")) if isinstance(tag, Mapping) else ("", "")
        if isinstance(key, str) and isinstance(value, str) and key:
            found[key] = value
    return found


def _all_items() -> Facts:
    facts = Facts()
    facts.hide("a restored table has items of all keys and attributes")
    return facts

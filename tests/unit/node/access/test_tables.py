"""All other operations, one by one; and that every operation has its needs."""

from typing import Any

import pytest

from node.access.need import LEADING_KEYS, CannotJudge
from node.access.needs import JUDGED
from node.requests.reach import STREAM_READS
from paceline.dynamodb_operations import OPERATIONS, Named
from tests.support.rows import every_row
from tests.unit.node.access.asked import ANY, PLAYS, USERS, asked

OTHERS = USERS.replace("Users", "Others")
BACKUP = f"{USERS}/backup/01489602797149-73d8d5bc"
STREAM = f"{USERS}/stream/2030-01-01T00:00:00.000"
EXPORT = f"{USERS}/export/01234567890123-a1b2c3d4"
GLOBAL = "arn:aws:dynamodb::123456789012:global-table/Users"
RESTORING = [
    *("BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"),
]

CASES: list[tuple[str, dict[str, Any], set[tuple[str, str]]]] = [
    *((name, {"TableName": "Users"}, {(name, USERS)}) for name in (
        "CreateTable", "DeleteTable", "UpdateTable", "UpdateTableReplicaAutoScaling",
        "UpdateTimeToLive", "DescribeContinuousBackups", "DescribeContributorInsights",
        "DescribeKinesisStreamingDestination", "DescribeTable", "DescribeTableReplicaAutoScaling",
        "DescribeTimeToLive", "ListBackups", "ListContributorInsights", "SearchVectors",
        "CreateBackup", "DisableKinesisStreamingDestination", "EnableKinesisStreamingDestination",
        "UpdateContinuousBackups", "UpdateContributorInsights",
        "UpdateKinesisStreamingDestination",
    )),
    *((name, {}, {(name, ANY)}) for name in (
        "DescribeTable", "DescribeEndpoints", "DescribeLimits", "ListGlobalTables", "ListTables",
        "ListBackups", "ListContributorInsights", "ListExports", "ListImports",
    )),
    *((name, {"IndexName": "byTeam", "TableName": "Users"}, {(name, f"{USERS}/index/byTeam")})
      for name in ("DescribeContributorInsights", "UpdateContributorInsights", "SearchVectors")),
    *((name, {"GlobalTableName": "Users"}, {(name, GLOBAL), (name, USERS)}) for name in (
        "CreateGlobalTable", "UpdateGlobalTable", "UpdateGlobalTableSettings",
        "DescribeGlobalTable", "DescribeGlobalTableSettings",
    )),
    *((name, {"BackupArn": BACKUP}, {(name, BACKUP)})
      for name in ("DescribeBackup", "DeleteBackup")),
    *((name, {"ResourceArn": USERS}, {(name, USERS)}) for name in (
        "GetResourcePolicy", "PutResourcePolicy", "DeleteResourcePolicy", "ListTagsOfResource",
        "TagResource", "UntagResource",
    )),
    *((name, {"TableArn": USERS}, {(name, USERS)}) for name in (
        "ListExports", "ListImports", "ExportTableToPointInTime",
    )),
    ("DescribeExport", {"ExportArn": EXPORT}, {("DescribeExport", EXPORT)}),
    ("DescribeImport", {"ImportArn": EXPORT}, {("DescribeImport", EXPORT)}),
    ("ImportTable", {"TableCreationParameters": {"TableName": "Users"}}, {("ImportTable", USERS)}),
    ("ImportTable", {}, {("ImportTable", ANY)}),
    ("CreateTable", {"TableName": "Users", "Tags": [{"Key": "a", "Value": "b"}],
                     "ResourcePolicy": "{}"},
     {("CreateTable", USERS), ("TagResource", USERS), ("PutResourcePolicy", USERS)}),
    ("RestoreTableFromBackup", {"BackupArn": BACKUP, "TargetTableName": "Plays"},
     {("RestoreTableFromBackup", BACKUP), ("RestoreTableFromBackup", PLAYS)}
     | {(action, PLAYS) for action in RESTORING}),
    ("RestoreTableToPointInTime", {"SourceTableName": "Users", "TargetTableName": "Plays"},
     {("RestoreTableToPointInTime", USERS), ("RestoreTableToPointInTime", PLAYS)}
     | {(action, PLAYS) for action in RESTORING}),
    ("RestoreTableToPointInTime", {"SourceTableArn": USERS, "TargetTableName": "Plays"},
     {("RestoreTableToPointInTime", USERS), ("RestoreTableToPointInTime", PLAYS)}
     | {(action, PLAYS) for action in RESTORING}),
    ("RestoreTableToPointInTime",
     {"SourceTableArn": USERS, "SourceTableName": "Others", "TargetTableName": "Plays"},
     {("RestoreTableToPointInTime", arn) for arn in (USERS, OTHERS, PLAYS)}
     | {(action, PLAYS) for action in RESTORING}),
    ("CreateTable", {"TableName": "Users", "GlobalTableSourceArn": PLAYS},
     {("CreateTable", USERS), ("AssociateTableReplica", PLAYS)}),
    ("UpdateTable", {"TableName": "Users", "ReplicaUpdates": [
        {"Create": {"RegionName": "eu-west-1"}}, {"Delete": {}}, {"Update": {}}, None]},
     {(name, USERS) for name in ("UpdateTable", "CreateTableReplica", "DeleteTableReplica")}),
    ("CancelBulkOperation", {"BulkOperationArn": EXPORT},
     {("CancelBulkOperation", arn) for arn in ("*", ANY, EXPORT)}),
    ("CancelBulkOperation", {"Name": "Users"},
     {("CancelBulkOperation", arn) for arn in ("*", ANY, USERS)}),
    ("DescribeStream", {"StreamArn": STREAM}, {("DescribeStream", STREAM)}),
    ("GetShardIterator", {"StreamArn": STREAM}, {("GetShardIterator", STREAM)}),
    ("GetRecords", {"ShardIterator": f"{STREAM}|1|AAA"}, {("GetRecords", STREAM)}),
    ("GetRecords", {"ShardIterator": f"000|{STREAM}|1"}, {("GetRecords", STREAM)}),
    ("GetRecords", {"ShardIterator": "opaque"}, {("GetRecords", f"{ANY}/stream/*")}),
    ("ListStreams", {"TableName": "Users"}, {("ListStreams", f"{USERS}/stream/*")}),
    ("ListStreams", {}, {("ListStreams", f"{ANY}/stream/*")}),
]  # fmt: skip


@every_row(("operation", "params", "expected"), CASES)
def test_operations(operation: str, params: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    found = {(need.action, need.resource) for need in asked(operation, **params)}
    assert found == {(f"dynamodb:{action}", resource) for action, resource in expected}


def test_every_operation_has_an_entry_and_a_case() -> None:
    assert set(OPERATIONS) | STREAM_READS == JUDGED
    by_items = {
        *("GetItem", "Query", "Scan", "PutItem", "UpdateItem", "DeleteItem", "BatchGetItem"),
        *("BatchWriteItem", "TransactGetItems", "TransactWriteItems", "ExecuteStatement"),
        *("BatchExecuteStatement", "ExecuteTransaction"),
    }
    assert {case[0] for case in CASES} | by_items == JUDGED


def test_what_names_a_table_needs_something_of_it() -> None:
    params: dict[Named, dict[str, Any]] = {
        Named.TABLE: {"TableName": "Users"},
        Named.TARGET: {"TargetTableName": "Users"},
        Named.GLOBAL_TABLE: {"GlobalTableName": "Users"},
        Named.CREATED: {"TableCreationParameters": {"TableName": "Users"}},
        Named.REQUEST_ITEMS: {"RequestItems": {"Users": None}},
        Named.TRANSACT_ITEMS: {"TransactItems": [{"Get": {"TableName": "Users"}}]},
    }
    for operation in OPERATIONS.values():
        if operation.named in params and operation.name != "TransactWriteItems":
            found = asked(operation.name, **params[operation.named])
            assert USERS in {need.resource for need in found}, operation.name


def test_an_operation_of_a_later_day_is_refused() -> None:
    with pytest.raises(CannotJudge, match="DescribeTomorrow"):
        asked("DescribeTomorrow", TableName="Users")


def test_tags_of_a_request() -> None:
    tags = [{"Key": "Team", "Value": "red"}, {"Key": "x", "Value": ""}]
    (need,) = asked("TagResource", ResourceArn=USERS, Tags=tags)
    assert need.facts.context["aws:requesttag/team"] == ("red",)
    assert need.facts.context["aws:tagkeys"] == ("Team", "x")
    (need,) = asked("UntagResource", ResourceArn=USERS, TagKeys=["Team"])
    assert need.facts.context["aws:tagkeys"] == ("Team",)


def test_what_is_restored_has_any_keys() -> None:
    found = asked("RestoreTableToPointInTime", SourceTableName="a", TargetTableName="Users")
    puts = [need for need in found if need.action == "dynamodb:PutItem"]
    assert [LEADING_KEYS in need.facts.unknown for need in puts] == [True]


def test_what_is_named_elsewhere_is_judged_here_too() -> None:
    elsewhere = USERS.replace("123456789012", "210987654321")
    found = asked("DescribeBackup", BackupArn=f"{elsewhere}/backup/1")
    assert [need.resource for need in found] == [f"{USERS}/backup/1", f"{elsewhere}/backup/1"]

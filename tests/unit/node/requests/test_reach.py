"""What may go to DynamoDB without a fence: a closed list, spelled out here once more.

An entry of the table of operations that is wrong or new must not let a write go unfenced unnoticed.
"""

from __future__ import annotations

from node.requests.reach import DYNAMODB, goes_unfenced
from paceline.dynamodb_operations import OPERATIONS

READS = frozenset(
    {
        "BatchGetItem",
        "DescribeBackup",
        "DescribeContinuousBackups",
        "DescribeContributorInsights",
        "DescribeEndpoints",
        "DescribeExport",
        "DescribeGlobalTable",
        "DescribeGlobalTableSettings",
        "DescribeImport",
        "DescribeKinesisStreamingDestination",
        "DescribeLimits",
        "DescribeTable",
        "DescribeTableReplicaAutoScaling",
        "DescribeTimeToLive",
        "GetItem",
        "GetResourcePolicy",
        "ListBackups",
        "ListContributorInsights",
        "ListExports",
        "ListGlobalTables",
        "ListImports",
        "ListTables",
        "ListTagsOfResource",
        "Query",
        "Scan",
        "SearchVectors",
        "TransactGetItems",
    }
)

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


def test_nothing_else_goes_without_a_fence() -> None:
    unfenced = {name for name in OPERATIONS if goes_unfenced(f"{DYNAMODB}.{name}", b"{}")}
    assert unfenced == READS | HARMLESS

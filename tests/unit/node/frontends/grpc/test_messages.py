"""Requests by gRPC as parameters of operations."""

from __future__ import annotations

from node.frontends.grpc.messages import to_params
from paceline.v1 import data_pb2 as pb


def test_tables_of_a_batch_come_in_the_order_of_their_names() -> None:
    names = [f"table-{number:02}" for number in range(20)]
    reads, writes = pb.BatchGetItemRequest(), pb.BatchWriteItemRequest()
    for name in reversed(names):
        reads.request_items[name].keys.add().attributes["k"].s = "1"
        writes.request_items[name].requests.add().delete_key.attributes["k"].s = "1"
    assert list(to_params(reads)["RequestItems"]) == names
    assert list(to_params(writes)["RequestItems"]) == names

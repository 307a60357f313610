"""JSON bodies as parameters."""

import pytest

from node.frontends.json_api.parameters import to_params


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem"])
def test_a_batch_without_request_items_is_dynamodbs_to_judge(operation: str) -> None:
    assert to_params(operation, {"ReturnConsumedCapacity": "TOTAL"}) is None
    assert to_params(operation, {"RequestItems": {}}) == {"RequestItems": {}}

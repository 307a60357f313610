"""How long an answer of DynamoDB's can be. Pure.

DynamoDB limits what an answer holds by its own count of bytes, JSON is longer: ``{"S":""},`` stands
for one byte of a list, ``{"BOOL":false},`` for two, a control character (``\\u0001``) for one,
binary data are a third longer in base64. Ten times is more than any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MB: Final = 1024 * 1024
INFLATION: Final = 10
MARGIN_BYTES: Final = MB
"""Room for what surrounds the items: names, capacity by index, metrics."""

ITEM_BYTES_MAX: Final = INFLATION * 400 * 1024 + MARGIN_BYTES
"""One item: a read, or what a write returns or its failed condition met."""
PAGE_BYTES_MAX: Final = INFLATION * MB + MARGIN_BYTES
"""A page of Query, Scan, PartiQL or GetRecords holds 1 MB; a description is far shorter."""
BATCH_BYTES_MAX: Final = INFLATION * 16 * MB + MARGIN_BYTES
"""BatchGetItem answers with 16 MB, BatchWriteItem with the requests that it left undone, a
cancelled transaction of a hundred parts with the items that it met."""

_LIMITS: Final[Mapping[str, int]] = {
    "BatchExecuteStatement": BATCH_BYTES_MAX,
    "BatchGetItem": BATCH_BYTES_MAX,
    "BatchWriteItem": BATCH_BYTES_MAX,
    "DeleteItem": ITEM_BYTES_MAX,
    "ExecuteTransaction": BATCH_BYTES_MAX,
    "GetItem": ITEM_BYTES_MAX,
    "PutItem": ITEM_BYTES_MAX,
    "TransactGetItems": BATCH_BYTES_MAX,
    "TransactWriteItems": BATCH_BYTES_MAX,
    "UpdateItem": ITEM_BYTES_MAX,
}


def answer_bytes_max(operation: str) -> int:
    return _LIMITS.get(operation, PAGE_BYTES_MAX)

"""Counts the capacity that each answer of DynamoDB consumed (``node.requests.capacity``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from node.backend.bodies import ANSWER_INLINE_BYTES_MAX
from node.requests.capacity import COUNTED, FAILED_CONDITION, READ_BYTES, CapacityCounts
from node.requests.reach import RAW
from node.values import json_slices
from paceline.types import Params, Result

if TYPE_CHECKING:
    from paceline.errors import DynamoDBError

_log = structlog.get_logger()


def note_answer(
    counts: CapacityCounts, operation: str, name: str, params: Params, result: Result
) -> None:
    """``name``: of the operation; ``operation`` is ``RAW`` for what was sent as it came. Never
    raises: what DynamoDB has carried out is known, whatever can be told of its price."""
    try:
        if operation != RAW:
            counts.answered(operation, params, result)
        elif name in COUNTED and len(params["Body"]) <= ANSWER_INLINE_BYTES_MAX:
            asked = json_slices.loads(params["Body"])
            body = result["Body"]
            if len(body) <= ANSWER_INLINE_BYTES_MAX:
                counts.answered(name, asked, json_slices.loads(body) if body.strip() else {})
            else:
                # To read it takes long. As text it is longer than its items are.
                counts.answered_large(name, asked, -(-len(body) // READ_BYTES))
    except Exception as error:
        _log.info("an answer's capacity is not counted", operation=name, reason=repr(error))


def note_refusal(
    counts: CapacityCounts, name: str, operation: str, params: Params, error: DynamoDBError
) -> None:
    """As ``note_answer``."""
    if error.name != FAILED_CONDITION:
        return
    try:
        asked = json_slices.loads(params["Body"]) if operation == RAW else params
        counts.failed_condition(name, asked, error.item)
    except Exception as problem:
        _log.info("an answer's capacity is not counted", operation=name, reason=repr(problem))

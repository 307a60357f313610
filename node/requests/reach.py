"""What a request may change, and so which way it goes to DynamoDB; and the form of those that are
sent on as they came, though not understood. Pure.

There are two ways. One asks for no fence and no lease; it takes nothing but operations of the
closed lists below, none of which can change data. On the other every table that the request may
change is fenced whole. Where these are named is known of the operations of today; of a request that
names none there, and of operations that are not known, every word counts as a name. So nothing
depends on what anybody knows of a table's keys, or on what went wrong when its description was
asked for.

Requests that are sent on travel as the pseudo-operation ``RAW``, whose parameters are ``Target``
(the value of X-Amz-Target), ``Body`` (bytes) and, for a write, ``Keys`` (what it may change) and
``Remakes``: the tables of these keys may be other ones afterwards. Its result has ``Body`` and
``RequestId``. With ``Headers`` and ``Query`` it is sent with these, instead of signed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from node.requests.statements import written_tables
from node.requests.table_names import spelled, table_of
from paceline.dynamodb_operations import (
    PARTIQL,
    READS,
    TABLES,
    WRITES,
    Access,
    named_tables,
    names_with,
)
from paceline.errors import RequestError
from paceline.types import Key, Params

DYNAMODB = "DynamoDB_20120810"
STREAMS = "DynamoDBStreams_20120810"

RAW = "paceline.Raw"
"""The name cannot be DynamoDB's."""

STREAM_READS = frozenset({"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"})

HARMLESS = names_with(Access.SETTINGS)


@dataclass(frozen=True, slots=True)
class Reach:
    """``tables``: all that may be changed. ``remakes``: they may be other tables afterwards, with
    other keys and indexes."""

    tables: tuple[str, ...]
    remakes: bool


def only_reads(operation: str) -> bool:
    """True if the operation changes nothing, whatever its parameters are."""
    return operation in READS


def may_change_data(operation: str) -> bool:
    """True if a data operation, or a batch of statements, may write."""
    return operation in WRITES or operation in PARTIQL


def goes_unfenced(target: str, body: bytes, loads: Callable[[str], Any] = json.loads) -> bool:
    """True if a request, as it is sent, surely changes no item and no table. ``loads`` reads it."""
    service, _, operation = target.partition(".")
    if service == STREAMS:
        return operation in STREAM_READS
    if operation not in PARTIQL:
        return operation in READS or operation in HARMLESS
    try:
        return written_tables(operation, loads(body.decode())) is None
    except (ValueError, RecursionError, AttributeError, RequestError):
        return False


def reach_of(operation: str, body: dict[str, Any]) -> Reach | None:
    """Returns what the request may change; None if it surely only reads.

    Raises RequestError when that cannot be told. Without a table it is a request that DynamoDB
    cannot do.
    """
    if operation in READS:
        return None
    if operation in PARTIQL:
        tables = written_tables(operation, body)
        return None if tables is None else Reach(tables, remakes=False)
    if operation in WRITES:
        return Reach(tables_of(operation, body) or spelled(body), remakes=False)
    if operation in TABLES:
        return Reach(tables_of(operation, body) or spelled(body), remakes=True)
    tables = spelled(body)
    if not tables:
        raise RequestError(
            "UnknownOperationException",
            f"this version of Paceline does not know {operation}, nor what it changes",
        )
    return Reach(tables, remakes=True)


def tables_of(operation: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the tables that a request names where its operation has them, as far as that can be
    read. DynamoDB cannot carry out a request without them."""
    found = map(table_of, named_tables(operation, body))
    return tuple(dict.fromkeys(table for table in found if table is not None))


def raw_params(
    target: str, body: bytes, keys: tuple[Key, ...] = (), *, remakes: bool = False
) -> Params:
    params: Params = {"Target": target, "Body": body}
    if keys:
        params["Keys"] = [list(key) for key in keys]
    if remakes:
        params["Remakes"] = True
    return params


def keys_of(params: Params) -> tuple[Key, ...]:
    """Of a raw write; they come as lists from another node."""
    return tuple((table, key) for table, key in params.get("Keys") or ())


def spoken_name(operation: str, params: Params) -> str:
    """What the caller knows the operation by."""
    return str(params["Target"]).rpartition(".")[2] if operation == RAW else operation

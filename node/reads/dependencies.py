"""What a Query or Scan depends on, read from its parameters and from its answer. Pure.

Whatever cannot be read as a key condition makes the result depend on the whole index. Filters and
projections do not count: they leave things out of what the key condition names.
"""

from __future__ import annotations

from dataclasses import replace

from cluster.coherence.queries import BASE, Dependency, prefix_end, successor
from node.cache.query_keys import TableKeys
from node.requests.key_conditions import key_conditions
from paceline.dax.expressions.tree import Op
from paceline.errors import RequestError
from paceline.types import Params, Result


def dependency_of(operation: str, params: Params, keys: TableKeys) -> Dependency:
    """Returns what the result can depend on, whatever it will be. The index, if named, is a known
    one."""
    index = params.get("IndexName") or BASE
    known = keys.indexes.get(index)
    whole = Dependency(keys.table, index, is_global=known is not None and known.is_global)
    if operation != "Query" or (known is not None and known.compound):
        return whole
    try:
        return _from_start(_by_key(whole, params, keys), params, keys)
    except (RequestError, ValueError):
        # DynamoDB will say what is wrong with it, or knows better.
        return whole


def narrowed(dependency: Dependency, params: Params, result: Result, keys: TableKeys) -> Dependency:
    """Returns ``dependency`` without what lies behind the page, where that did not shape it.

    A page that ends for its size depends on what comes next, too: that did not fit.
    """
    last = result.get("LastEvaluatedKey")
    if (
        dependency.partition is None
        or not isinstance(last, dict)
        or "Limit" not in params
        or result.get("ScannedCount") != params["Limit"]
    ):
        return dependency
    try:
        sort = _sort_in(last, dependency.index, keys)
    except ValueError:
        return dependency
    if sort is None:
        return dependency
    if _is_forward(params):
        high = successor(sort)
        if dependency.high is None or high < dependency.high:
            return replace(dependency, high=high)
    elif sort > dependency.low:
        return replace(dependency, low=sort)
    return dependency


def _by_key(whole: Dependency, params: Params, keys: TableKeys) -> Dependency:
    """Returns the dependency by the KeyConditionExpression alone; the whole index where that is not
    understood."""
    conditions = key_conditions(params)
    if conditions is None or len(conditions) > 2:
        return whole
    hash_name = keys.hash_of(whole.index).name
    range_attribute = keys.range_of(whole.index)
    dependency = whole
    for name, op, values in conditions:
        if name == hash_name and op is Op.EQ:
            if dependency.partition is not None:
                return whole
            partition = keys.partition(whole.index, values[0])
            dependency = replace(dependency, partition=partition)
        elif range_attribute is not None and name == range_attribute.name:
            low, high = _range(op, [keys.sort(whole.index, value) for value in values])
            dependency = replace(dependency, low=low, high=high)
        else:
            return whole
    return whole if dependency.partition is None else dependency


def _range(op: Op, values: list[bytes]) -> tuple[bytes, bytes | None]:
    """Returns the half-open interval of the sort values that satisfy the condition."""
    value = values[0]
    match op:
        case Op.EQ:
            return value, successor(value)
        case Op.LT:
            return b"", value
        case Op.LE:
            return b"", successor(value)
        case Op.GT:
            return successor(value), None
        case Op.GE:
            return value, None
        case Op.BETWEEN:
            return value, successor(values[1])
        case Op.BEGINS_WITH:
            return value, prefix_end(value)
    raise ValueError(f"{op.name} is no key condition")


def _from_start(dependency: Dependency, params: Params, keys: TableKeys) -> Dependency:
    """Without what lies before ExclusiveStartKey.

    In an index several entries may have the sort value that the page starts at; in a table the
    start itself is no part of the page.
    """
    start = params.get("ExclusiveStartKey")
    if start is None or dependency.partition is None:
        return dependency
    sort = _sort_in(start, dependency.index, keys)
    if sort is None:
        return dependency
    exclusive = dependency.index == BASE
    if _is_forward(params):
        low = successor(sort) if exclusive else sort
        return replace(dependency, low=max(low, dependency.low))
    high = sort if exclusive else successor(sort)
    if dependency.high is None or high < dependency.high:
        return replace(dependency, high=high)
    return dependency


def _is_forward(params: Params) -> bool:
    return params.get("ScanIndexForward") is not False


def _sort_in(key: Params, index: str, keys: TableKeys) -> bytes | None:
    """Returns the sort value in a page's boundary; None where there is none, and so no order to cut
    by."""
    attribute = keys.range_of(index)
    value = None if attribute is None else key.get(attribute.name)
    return None if value is None else keys.sort(index, value)

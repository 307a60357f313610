"""Bugs on purpose in what invalidates queries, one rule left out in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cluster.coherence import guard as guards
from cluster.coherence import queries as scopes
from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.fills import Fills
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Outcome
from cluster.coherence.queries import BASE, GLOBALS, LOCALS, Change, Dependency
from cluster.coherence.query_fences import QueryFences
from node.cache.query_keys import TableKeys
from node.reads import dependencies, queries
from node.requests import key_conditions
from node.writes import effects
from paceline.types import Params, Result

Plant = Callable[[pytest.MonkeyPatch], None]


@contextmanager
def planted(bug: Plant) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        yield


# -- what a write can change ------------------------------------------------------------------


def _old(patch: pytest.MonkeyPatch, view: Callable[[Any], Any]) -> None:
    true = effects.touches_of
    patch.setattr(
        effects,
        "touches_of",
        lambda keys, key, write, old: true(keys, key, write, view(old)),
    )


def the_old_image_is_ignored(patch: pytest.MonkeyPatch) -> None:
    _old(patch, lambda old: None)


def an_unknown_old_image_counts_as_no_item(patch: pytest.MonkeyPatch) -> None:
    _old(patch, lambda old: None if old is effects.UNKNOWN else old)


def an_unknown_old_image_counts_as_an_item_without_attributes(patch: pytest.MonkeyPatch) -> None:
    _old(patch, lambda old: {} if old is effects.UNKNOWN else old)


def the_new_image_is_ignored(patch: pytest.MonkeyPatch) -> None:
    true = effects.touches_of
    patch.setattr(
        effects,
        "touches_of",
        lambda keys, key, write, old: true(keys, key, write._replace(item=None, update=None), old),
    )


def updates_change_no_index_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(effects, "_assigned", lambda update: {})


def a_computed_value_counts_as_removed(patch: pytest.MonkeyPatch) -> None:
    true = effects._assigned

    def assigned(update: Params) -> Mapping[str, Any]:
        return {
            name: None if value is effects.UNKNOWN else value
            for name, value in true(update).items()
        }

    patch.setattr(effects, "_assigned", assigned)


def _changes(patch: pytest.MonkeyPatch, view: Callable[[Change], Change]) -> None:
    true = TableKeys.change

    def change(self: TableKeys, key: bytes, effect: Effect | None) -> Change:
        return view(true(self, key, effect))

    patch.setattr(TableKeys, "change", change)


def _touches(change: Change, keep: Callable[[IndexTouch], bool]) -> Change:
    if change.touches is None:
        return change
    return change._replace(touches=tuple(touch for touch in change.touches if keep(touch)))


def an_unknown_effect_spares_global_indexes(patch: pytest.MonkeyPatch) -> None:
    _changes(patch, lambda change: _touches(change, lambda touch: touch.name != GLOBALS))


def an_unknown_effect_spares_local_indexes(patch: pytest.MonkeyPatch) -> None:
    _changes(patch, lambda change: _touches(change, lambda touch: touch.name != LOCALS))


def the_table_itself_is_spared(patch: pytest.MonkeyPatch) -> None:
    _changes(patch, lambda change: _touches(change, lambda touch: touch.name != BASE))


# -- what a result depends on -----------------------------------------------------------------


def ranges_end_before_their_upper_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dependencies, "successor", lambda value: value)


def ranges_begin_behind_their_lower_bound(patch: pytest.MonkeyPatch) -> None:
    true = dependencies._range

    def shifted(op: Any, values: list[bytes]) -> tuple[bytes, bytes | None]:
        low, high = true(op, values)
        return (scopes.successor(low) if low else low), high

    patch.setattr(dependencies, "_range", shifted)


def prefixes_match_themselves_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dependencies, "prefix_end", scopes.successor)


def numbers_are_ordered_as_text(patch: pytest.MonkeyPatch) -> None:
    true = TableKeys.sort

    def sort(self: TableKeys, index: str, value: Any) -> bytes:
        return value["N"].encode() if "N" in value else true(self, index, value)

    patch.setattr(TableKeys, "sort", sort)
    patch.setattr(
        TableKeys,
        "split",
        _split_as_text,
    )


def _split_as_text(self: TableKeys, key: bytes) -> tuple[bytes, bytes]:
    from paceline.dax.keys import decode_key

    range_ = self.schema.range
    if range_ is None:
        return key, b""
    attributes = decode_key(self.schema, key)
    sort = self.sort(BASE, attributes[range_.name])
    return self.partition(BASE, attributes[self.schema.hash.name]), sort


def swapped_comparisons_keep_their_sign(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(key_conditions, "_FLIPPED", {op: op for op in key_conditions._FLIPPED})


def every_page_depends_on_what_it_covers_only(patch: pytest.MonkeyPatch) -> None:
    """Also one that ended for its size."""
    true = dependencies.narrowed

    def narrowed(
        dependency: Dependency, params: Params, result: Result, keys: TableKeys
    ) -> Dependency:
        scanned = {**result, "ScannedCount": 1}
        return true(dependency, {**params, "Limit": 1}, scanned, keys)

    patch.setattr(queries, "narrowed", narrowed)


def pages_are_taken_for_forward_ones(patch: pytest.MonkeyPatch) -> None:
    true = dependencies.narrowed

    def narrowed(
        dependency: Dependency, params: Params, result: Result, keys: TableKeys
    ) -> Dependency:
        return true(dependency, {**params, "ScanIndexForward": True}, result, keys)

    patch.setattr(queries, "narrowed", narrowed)


def starts_are_taken_for_forward_ones(patch: pytest.MonkeyPatch) -> None:
    true = dependencies._from_start

    def from_start(dependency: Dependency, params: Params, keys: TableKeys) -> Dependency:
        return true(dependency, {**params, "ScanIndexForward": True}, keys)

    patch.setattr(dependencies, "_from_start", from_start)


def an_index_has_one_entry_per_sort_value(patch: pytest.MonkeyPatch) -> None:
    """So that a page's start is no part of it."""
    true = dependencies._from_start

    def from_start(dependency: Dependency, params: Params, keys: TableKeys) -> Dependency:
        found = true(dependency, params, keys)
        if found is dependency or dependency.index == BASE:
            return found
        if params.get("ScanIndexForward", True):
            return replace(found, low=scopes.successor(found.low))
        assert found.high is not None
        return replace(found, high=found.high[:-1])

    patch.setattr(dependencies, "_from_start", from_start)


def whole_indexes_depend_on_nothing(patch: pytest.MonkeyPatch) -> None:
    true = dependencies.dependency_of

    def dependency_of(operation: str, params: Params, keys: TableKeys) -> Dependency:
        found = true(operation, params, keys)
        return found if found.partition is not None else replace(found, partition=b"\xff\xff\xff")

    patch.setattr(queries, "dependency_of", dependency_of)


# -- until when nothing is kept ---------------------------------------------------------------


def fences_revoke_no_query(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fills, "revoke_queries", lambda self, table, touches: None)


def queries_begin_under_a_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QueryFences, "__contains__", lambda self, scope: False)


def global_indexes_are_kept_within_q(patch: pytest.MonkeyPatch) -> None:
    true = Guard.begin_query

    def begin(self: Guard, dependency: Dependency, now: float) -> Any:
        fill = true(self, dependency, now)
        if fill is not None or not dependency.is_global:
            return fill
        detached = replace(dependency, detached=True)
        settled = any(self._is_settled(scope, now) for scope in dependency.scopes())
        fenced = any(
            scope in self._queries or now < self._unknown.get(scope, guards.NEVER)
            for scope in dependency.scopes()
        )
        if not settled or fenced:
            return None
        fill = true(self, detached, now)
        if fill is not None:
            self._fills.discard(fill)
            fill.dependency = dependency
            self._fills.add(fill)
        return fill

    patch.setattr(Guard, "begin_query", begin)


def base_queries_are_eventual_within_q(patch: pytest.MonkeyPatch) -> None:
    true = Guard._is_settled

    def is_settled(self: Guard, scope: Any, now: float) -> bool:
        return true(self, scope, now) and (len(scope) == 2 or scope[1] != BASE)

    patch.setattr(Guard, "_is_settled", is_settled)


def unknown_outcomes_end_for_queries(patch: pytest.MonkeyPatch) -> None:
    true = Guard._make_unknown

    def make_unknown(self: Guard, scope: Any, now: float) -> None:
        if len(scope) == 2:
            true(self, scope, now)
        else:
            self._quarantine(scope, Outcome.SUCCESS, now)

    patch.setattr(Guard, "_make_unknown", make_unknown)


def nothing_is_held_for_overlapping_writes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QueryFences, "hold", lambda self, key, scopes, outcome: None)


PLANTED: tuple[Plant, ...] = (
    the_old_image_is_ignored,
    an_unknown_old_image_counts_as_no_item,
    an_unknown_old_image_counts_as_an_item_without_attributes,
    the_new_image_is_ignored,
    updates_change_no_index_key,
    a_computed_value_counts_as_removed,
    an_unknown_effect_spares_global_indexes,
    an_unknown_effect_spares_local_indexes,
    the_table_itself_is_spared,
    ranges_end_before_their_upper_bound,
    ranges_begin_behind_their_lower_bound,
    prefixes_match_themselves_only,
    numbers_are_ordered_as_text,
    swapped_comparisons_keep_their_sign,
    every_page_depends_on_what_it_covers_only,
    pages_are_taken_for_forward_ones,
    starts_are_taken_for_forward_ones,
    an_index_has_one_entry_per_sort_value,
    whole_indexes_depend_on_nothing,
    fences_revoke_no_query,
    queries_begin_under_a_fence,
    global_indexes_are_kept_within_q,
    base_queries_are_eventual_within_q,
    unknown_outcomes_end_for_queries,
    nothing_is_held_for_overlapping_writes,
)

"""Whom a sample accuses, and whom it must not."""

from __future__ import annotations

from typing import Any

import pytest

from node.audit.judging import (
    CachedAnswer,
    Content,
    Finding,
    Served,
    Silent,
    content_of,
    doubtful,
    judge,
)

OLD = content_of({"v": {"N": "1"}}, ())
NEW = content_of({"v": {"N": "2"}}, ())


@pytest.mark.parametrize("cached", [OLD, None])
def test_answers_that_are_what_dynamodb_has(cached: Content) -> None:
    answers: dict[str, CachedAnswer] = {"a": Served(cached), "b": Served(cached)}
    assert not doubtful(cached, answers)
    assert judge(cached, answers, undisturbed=True) == dict.fromkeys("ab", Finding.AGREE)


@pytest.mark.parametrize(("cached", "truth"), [(OLD, NEW), (None, NEW), (OLD, None)])
def test_one_node_differs(cached: Content, truth: Content) -> None:
    answers: dict[str, CachedAnswer] = {"a": Served(cached), "b": Served(truth)}
    assert doubtful(truth, answers)
    assert judge(truth, answers, undisturbed=True) == {
        "a": Finding.DISAGREE,
        "b": Finding.AGREE,
    }


def test_nobody_is_accused_or_praised_if_the_item_may_have_been_written() -> None:
    answers: dict[str, CachedAnswer] = {"a": Served(OLD), "b": Served(NEW)}
    assert judge(NEW, answers, undisturbed=False) == dict.fromkeys("ab", Finding.INCONCLUSIVE)


@pytest.mark.parametrize("undisturbed", [True, False])
def test_silence_is_no_disagreement(undisturbed: bool) -> None:
    answers: dict[str, CachedAnswer] = {"a": Silent.NOT_CACHED, "b": Silent.NO_ANSWER}
    assert not doubtful(NEW, answers)
    assert judge(NEW, answers, undisturbed=undisturbed) == {
        "a": Finding.NOT_CACHED,
        "b": Finding.INCONCLUSIVE,
    }


SAME = [
    ({"N": "1.50"}, {"N": "1.5"}),
    ({"N": "1E2"}, {"N": "100"}),
    ({"N": "-0"}, {"N": "0"}),
    ({"NS": ["2", "1.0"]}, {"NS": ["1", "2.0"]}),
    ({"SS": ["b", "a"]}, {"SS": ["a", "b"]}),
    ({"BS": [b"b", b"a"]}, {"BS": [bytearray(b"a"), b"b"]}),
    ({"B": bytearray(b"x")}, {"B": b"x"}),
    ({"M": {"a": {"N": "1.0"}, "b": {"L": []}}}, {"M": {"b": {"L": []}, "a": {"N": "1"}}}),
]
DIFFERENT = [
    ({"S": "a1:"}, {"S": "a"}),
    ({"SS": ["a", "b"]}, {"SS": ["ab"]}),
    ({"L": [{"L": []}, {"S": "x"}]}, {"L": [{"L": [{"S": "x"}]}]}),
    ({"M": {"a": {"N": "1"}, "b": {"N": "2"}}}, {"M": {"a": {"N": "2"}, "b": {"N": "1"}}}),
    ({"NULL": True}, {"S": "True"}),
    ({"B": b""}, {"S": ""}),
    ({"N": "1"}, {"S": "1"}),
    ({"S": "x"}, {"B": b"x"}),
    (
        {"N": "12345678901234567890123456789012345678"},
        {"N": "1234567890123456789012345678901234567"},
    ),
    (
        {"N": "12345678901234567890123456789012345678"},
        {"N": "12345678901234567890123456789012345679"},
    ),
    ({"L": [{"N": "1"}, {"N": "2"}]}, {"L": [{"N": "2"}, {"N": "1"}]}),
    ({"SS": ["1"]}, {"NS": ["1"]}),
    ({"NULL": True}, {"BOOL": True}),
    ({"M": {}}, {"L": []}),
    ({"BOOL": True}, {"BOOL": False}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_values_that_dynamodb_calls_equal(one: Any, other: Any) -> None:
    assert content_of({"v": one}, ()) == content_of({"v": other}, ())


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_values_that_differ(one: Any, other: Any) -> None:
    assert content_of({"v": one}, ()) != content_of({"v": other}, ())


def test_keys_do_not_count_but_existence_does() -> None:
    item = {"id": {"S": "a"}, "v": {"N": "1"}}
    assert content_of(item, ("id",)) == OLD
    assert content_of({"id": {"S": "a"}}, ("id",)) is not None
    assert content_of(None, ("id",)) is None


def test_a_large_content_is_as_small_as_any() -> None:
    content = content_of({"v": {"L": [{"L": [{"NULL": True}]}] * 10_000}}, ())
    assert content is not None
    assert len(content) == 32

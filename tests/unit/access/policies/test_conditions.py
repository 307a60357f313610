"""Condition operators, case by case: AWS's own examples, missing keys, sets and their traps."""

import json
from typing import Any

import pytest

from paceline.access.policies.context import Context, context_of
from paceline.access.policies.policy import Policy
from paceline.access.policies.problems import PolicyError
from tests.support.rows import every_row


def holds(condition: dict[str, Any], context: Context) -> bool:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    text = json.dumps({"Version": "2012-10-17", "Statement": statement})
    (found,) = Policy.parse(text, "p").statements
    return all(one.holds(context) for one in found.conditions)


SINGLE: list[tuple[str, Any, str, bool]] = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", ["b", "a"], "a", True),
    ("StringEquals", 5, "5", True),
    ("StringEquals", True, "true", True),
    ("StringNotEquals", ["b", "a"], "a", False),
    ("StringNotEquals", ["b", "a"], "c", True),
    ("StringEqualsIgnoreCase", "Ada", "aDA", True),
    ("StringNotEqualsIgnoreCase", "Ada", "aDA", False),
    ("StringLike", "a*c?", "abcd", True),
    ("StringLike", "a${*}", "a*", True),
    ("StringLike", "a${*}", "ab", False),
    ("StringNotLike", ["a*", "b*"], "bc", False),
    ("StringNotLike", ["a*", "b*"], "cd", True),
    ("NumericEquals", "10", "10.0", True),
    ("NumericEquals", 10, "1e1", True),
    ("NumericNotEquals", "10", "11", True),
    ("NumericLessThan", "10", "9.99", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericGreaterThan", "10", "9", False),
    ("NumericGreaterThanEquals", "-1", "-1", True),
    ("NumericEquals", "10", "ten", False),
    ("NumericNotEquals", "10", "ten", True),
    ("NumericLessThan", "10", "-Infinity", False),
    ("DateEquals", "2030-01-01T00:00:00Z", "1893456000", True),
    ("DateEquals", "2030-01-01", "2030-01-01T02:00:00+02:00", True),
    ("DateNotEquals", "2030-01-01", "2030-01-02", True),
    ("DateLessThan", "2030-01-01T00:00:00Z", "2029-12-31T23:59:59.999Z", True),
    ("DateGreaterThan", "2030-01-01T00:00:00Z", "2030-01-01T00:00:00.001Z", True),
    ("DateGreaterThanEquals", "2030-01-01", "2030-01-01", True),
    ("DateLessThanEquals", "2030-01-01", "tomorrow", False),
    ("Bool", "true", "TRUE", True),
    ("Bool", "false", "true", False),
    ("Bool", False, "false", True),
    ("BinaryEquals", "YWRh", "YWRh", True),
    ("BinaryEquals", "YWRh", "YWRi", False),
    ("BinaryEquals", "YWRh", "no base64", False),
    ("IpAddress", "203.0.113.0/24", "203.0.113.9", True),
    ("IpAddress", "203.0.113.0/24", "::ffff:203.0.113.9", True),
    ("IpAddress", ["10.0.0.0/8", "2001:DB8:1234:5678::/64"], "2001:db8:1234:5678::9", True),
    ("IpAddress", "203.0.113.7", "203.0.113.8", False),
    ("IpAddress", "0.0.0.0/0", "::1", False),
    ("NotIpAddress", "203.0.113.0/24", "203.0.113.9", False),
    ("NotIpAddress", "203.0.113.0/24", "198.51.100.1", True),
    ("ArnEquals", "arn:aws:iam::1:user/*", "arn:aws:iam::1:user/ada", True),
    ("ArnLike", "arn:aws:iam::*:user/a?a", "arn:aws:iam::1:user/ada", True),
    ("ArnNotEquals", "arn:aws:iam::1:user/ada", "arn:aws:iam::1:user/ada", False),
    ("ArnNotLike", "arn:aws:iam::2:*", "arn:aws:iam::1:user/ada", True),
]


@every_row(("operator", "values", "given", "expected"), SINGLE)
def test_one_value(operator: str, values: Any, given: str, expected: bool) -> None:
    context = context_of({"aws:Key": given})
    assert holds({operator: {"AWS:key": values}}, context) is expected
    for sets in ("ForAllValues:", "ForAnyValue:"):
        assert holds({sets + operator: {"aws:KEY": values}}, context) is expected
    assert holds({operator + "IfExists": {"aws:Key": values}}, context) is expected


@every_row(("operator", "values", "given", "expected"), SINGLE)
def test_a_key_that_is_not_there(operator: str, values: Any, given: str, expected: bool) -> None:
    negated = "Not" in operator
    for context in ({}, {"aws:key": ()}):
        assert holds({operator: {"aws:Key": values}}, context) is negated
        assert holds({operator + "IfExists": {"aws:Key": values}}, context)
        assert holds({"ForAllValues:" + operator: {"aws:Key": values}}, context)
        assert not holds({"ForAnyValue:" + operator: {"aws:Key": values}}, context)
        assert holds({f"ForAnyValue:{operator}IfExists": {"aws:Key": values}}, context)


LEADING = "dynamodb:LeadingKeys"
SETS: list[tuple[str, list[str], list[str], bool]] = [
    ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "b", "a"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringEquals", ["a"], [], True),
    ("ForAllValues:StringEquals", ["a"], [""], True),
    ("ForAllValues:StringEquals", ["a"], ["", "a"], False),
    ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "d"], True),
    ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "a"], False),
    ("ForAllValues:StringNotEquals", ["a"], [], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
    ("ForAnyValue:StringEquals", ["a", "b"], ["c"], False),
    ("ForAnyValue:StringEquals", ["a"], [], False),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ["a", "c"], True),
    ("ForAnyValue:StringNotEquals", ["a", "b"], ["a", "b"], False),
    ("ForAnyValue:StringNotEquals", ["a"], [], False),
    ("ForAnyValue:StringEqualsIfExists", ["a"], [], True),
    # Without a set operator nothing matches a key that may have several values.
    ("StringEquals", ["a"], ["a"], False),
    ("StringNotEquals", ["b"], ["a"], False),
    ("StringEqualsIfExists", ["a"], ["a"], False),
    ("StringEqualsIfExists", ["a"], [], True),
    ("StringNotEquals", ["b"], [], True),
]


@pytest.mark.parametrize(("operator", "values", "given", "expected"), SETS)
def test_several_values(operator: str, values: list[str], given: list[str], expected: bool) -> None:
    assert holds({operator: {LEADING: values}}, context_of({LEADING: given})) is expected


def test_a_key_with_more_values_than_it_should_have_matches_nothing() -> None:
    context = context_of({"dynamodb:Select": ["COUNT", "COUNT"]})
    assert not holds({"StringEquals": {"dynamodb:Select": "COUNT"}}, context)
    assert not holds({"StringNotEquals": {"dynamodb:Select": "x"}}, context)


@pytest.mark.parametrize(
    ("value", "given", "expected"),
    [
        ("true", [], True),
        ("true", ["a"], False),
        ("false", [], False),
        ("false", ["a"], True),
        ("false", [""], False),
        (True, [], True),
        (["true", "false"], ["a"], True),
    ],
)
def test_null_asks_whether_a_key_is_there(value: Any, given: list[str], expected: bool) -> None:
    assert holds({"Null": {LEADING: value}}, context_of({LEADING: given})) is expected


def test_all_entries_have_to_hold() -> None:
    condition = {
        "StringEquals": {"aws:a": "1", "aws:b": ["2", "3"]},
        "Bool": {"aws:SecureTransport": "true"},
    }
    good = {"aws:a": "1", "aws:b": "3", "aws:securetransport": "true"}
    assert holds(condition, context_of(good))
    for key in good:
        assert not holds(condition, context_of({**good, key: "other"}))


def test_a_variable_without_a_value_is_like_nothing() -> None:
    context = context_of({"aws:x": "a", "aws:y": "${aws:gone}"})
    assert not holds({"StringEquals": {"aws:x": "${aws:gone}"}}, context)
    assert not holds({"StringEquals": {"aws:y": "${aws:gone}"}}, context)
    assert holds({"StringEquals": {"aws:x": ["${aws:gone}", "a"]}}, context)
    assert holds({"StringNotEquals": {"aws:x": "${aws:gone}"}}, context)
    assert holds({"StringNotLike": {"aws:x": "${aws:gone}"}}, context)
    assert holds({"StringLike": {"aws:x": "${aws:gone, 'a'}"}}, context)


def test_only_texts_and_arns_have_variables() -> None:
    context = context_of({"aws:x": "5", "aws:five": "5"})
    assert holds({"StringEquals": {"aws:x": "${aws:five}"}}, context)
    with pytest.raises(PolicyError, match="cannot be compared"):
        holds({"NumericEquals": {"aws:x": "${aws:five}"}}, context)

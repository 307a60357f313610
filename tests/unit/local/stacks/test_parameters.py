"""Parameters: how they are given, what they may be."""

from __future__ import annotations

from typing import Any

import pytest

from paceline.errors import ConfigError
from paceline_local.stacks.parameters import given_in, given_in_file, values_of


def test_ways_to_give_them() -> None:
    assert given_in(["A=1", "ParameterKey=B,ParameterValue=x,y=z"]) == {"A": "1", "B": "x,y=z"}
    pairs = [{"ParameterKey": "A", "ParameterValue": "1"}]
    for read in (pairs, {"A": 1}, {"Parameters": {"A": "1"}}):
        assert given_in_file(read) == {"A": "1"}


@pytest.mark.parametrize("words", [["A"], ["=1"], ["A=1", "A=2"]])
def test_what_is_none(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        given_in(words)
    with pytest.raises(ConfigError):
        given_in_file([{"ParameterKey": "A"}])


@pytest.mark.parametrize(
    ("declared", "given", "value"),
    [
        ({"Type": "String", "Default": 7}, None, "7"),
        ({"Type": "String", "Default": "a"}, "b", "b"),
        ({"Type": "Number", "Default": 1, "MaxValue": 5}, "5", "5"),
        ({"Type": "CommaDelimitedList", "Default": ""}, None, []),
        ({"Type": "CommaDelimitedList"}, "a, b", ["a", "b"]),
        ({"Type": "List<AWS::EC2::Subnet::Id>"}, "subnet-1,subnet-2", ["subnet-1", "subnet-2"]),
        ({"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/a"}, "x", "x"),
        ({"Type": "AWS::SSM::Parameter::Value<List<String>>"}, "x,y", ["x", "y"]),
        ({"Type": "String", "AllowedValues": [1, True]}, "true", "true"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, "abc", "abc"),
    ],
)
def test_a_value(declared: dict[str, Any], given: str | None, value: object) -> None:
    assert values_of({"P": declared}, {} if given is None else {"P": given}) == {"P": value}


@pytest.mark.parametrize(
    ("declared", "given", "why"),
    [
        ({"Type": "Number"}, "x", "no number"),
        ({"Type": "Number", "MinValue": 2}, "1", "MinValue"),
        ({"Type": "String", "MaxLength": "2"}, "abc", "MaxLength"),
        ({"Type": "String", "AllowedValues": ["a"]}, "b", "none of a"),
        ({"Type": "String", "AllowedPattern": "["}, "b", "AllowedPattern"),
        (
            {"Type": "String", "AllowedPattern": "a", "ConstraintDescription": "only a"},
            "b",
            "only a",
        ),
        ({"Type": "List<AWS::EC2::Subnet::Id>"}, "subnet-1,sg-2", "'sg-2' is no AWS::EC2::Subnet"),
        ({"Type": "AWS::EC2::VPC::Id"}, "x", "no AWS::EC2::VPC::Id"),
        ({"Type": "AWS::EC2::VPC::Id"}, None, "VpcId|--parameters P=vpc-1"),
        ({"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/a"}, None, "no SSM here"),
        ({"Type": "String"}, "x" * 5000, "characters"),
        ({}, "x", "has a Type"),
    ],
)
def test_what_is_refused(declared: dict[str, Any], given: str | None, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        values_of({"P": declared}, {} if given is None else {"P": given})


def test_a_secret_is_not_told_and_an_unknown_parameter_is_named() -> None:
    declared = {"P": {"Type": "String", "NoEcho": True, "AllowedValues": ["a"]}}
    with pytest.raises(ConfigError) as found:
        values_of(declared, {"P": "hunter2"})
    assert "hunter2" not in str(found.value)
    with pytest.raises(ConfigError, match="no parameter Q; it has P"):
        values_of(declared, {"Q": "1"})

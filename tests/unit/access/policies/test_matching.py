"""Actions, resources and policy variables, case by case."""

import pytest

from paceline.access.policies.arns import ArnPattern, ResourcePattern, index_arn, table_arn
from paceline.access.policies.context import Caller, Context, context_of
from paceline.access.policies.statements import ActionPattern
from paceline.access.policies.templates import Glob, parse

TABLE = table_arn("aws", "us-east-1", "123456789012", "Users")
INDEX = index_arn(TABLE, "byTeam")
STREAM = f"{TABLE}/stream/2030-01-01T00:00:00.000"


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("**", "anything", True),
        ("?", "", False),
        ("?", "é", True),
        ("??", "a", False),
        ("a*", "a", True),
        ("*a", "ba", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a?c*", "abcd", True),
        ("*?b", "b", False),
        ("*?b", "ab", True),
        ("*a?c*", "xxabbabcxx", True),
        ("*ab*ab*", "ab", False),
        ("*ab*ab*", "abab", True),
        ("a.c", "abc", False),
        ("a\n*", "a\nb\nc", True),
    ],
)
def test_wildcards(pattern: str, text: str, matches: bool) -> None:
    assert Glob(parse(pattern, variables=False, wildcards=True)).matches(text) is matches


@pytest.mark.parametrize(
    ("pattern", "action", "matches"),
    [
        ("*", "dynamodb:GetItem", True),
        ("*:*", "dynamodb:GetItem", True),
        ("dynamodb:*", "dynamodb:GetItem", True),
        ("dynamodb:*", "dax:GetItem", False),
        ("dax:*", "dax:GetItem", True),
        ("DynamoDB:getitem", "dynamodb:GetItem", True),
        ("dynamodb:Get*", "dynamodb:GetItem", True),
        ("dynamodb:Get*", "dynamodb:BatchGetItem", False),
        ("dynamodb:*GetItem*", "dynamodb:TransactGetItems", True),
        ("dynamodb:?etItem", "dynamodb:GetItem", True),
        ("dynamodb:GetItem?", "dynamodb:GetItem", False),
        ("s3:GetObject", "dynamodb:GetItem", False),
        ("dynamodb:GetItem", "xdynamodb:GetItem", False),
    ],
)
def test_actions_have_wildcards_and_no_case(pattern: str, action: str, matches: bool) -> None:
    assert ActionPattern(pattern).matches(action.lower()) is matches


@pytest.mark.parametrize(
    ("pattern", "arn", "matches"),
    [
        ("*", TABLE, True),
        (TABLE, TABLE, True),
        (TABLE, INDEX, False),
        (TABLE, TABLE.replace("Users", "users"), False),
        (f"{TABLE}*", INDEX, True),
        (f"{TABLE}/index/*", INDEX, True),
        (f"{TABLE}/index/*", TABLE, False),
        (f"{TABLE}/stream/*", STREAM, True),
        (f"{TABLE}/stream/2030-??-01T00:00:00.000", STREAM, True),
        ("arn:aws:dynamodb:*:*:table/Users", TABLE, True),
        ("arn:aws:dynamodb:*:*:table/*/index/by*", INDEX, True),
        ("arn:aws:dynamodb:us-*-1:*:table/Users", TABLE, True),
        ("arn:aws:dynamodb:us-*-2:*:table/Users", TABLE, False),
        ("arn:*:*:*:*:*", STREAM, True),
        ("arn:aws:s3:::bucket/*", TABLE, False),
        # A wildcard inside of a part stays in it; one that ends a part runs on past colons.
        ("arn:aws:dynamodb:us*1:123456789012:table/Users", TABLE, True),
        ("arn:aws:dynamodb:us*2:table/*", TABLE, False),
        ("arn:aws:dynamodb:*", TABLE, True),
        ("arn:aws:dynamodb:us*", STREAM, True),
        ("arn:*:table/Users", TABLE, True),
        ("arn:aws:dynamodb:*:table/Users", TABLE, True),
        ("arn:aws:dynamodb:*:table/User", TABLE, False),
        ("arn:aws:dynamodb:us-east-1?123456789012:table/Users*", TABLE, False),
        # What stands for all resources of an account is no table.
        ("*", "*", True),
        (TABLE, "*", False),
    ],
)
def test_resources(pattern: str, arn: str, matches: bool) -> None:
    assert ResourcePattern(pattern, variables=True).matches(arn, {}) is matches


ADA = Caller("ada", "arn:aws:iam::123456789012:user/ada", {"Team": "red", "Wild": "*"})
REQUEST: Context = context_of({"dynamodb:LeadingKeys": ["ada"], "aws:RequestTag/Many": ["a", "b"]})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${aws:username}", "ada"),
        ("x-${AWS:UserName}-y", "x-ada-y"),
        ("${aws:userid}", "ada"),
        ("${aws:PrincipalArn}", "arn:aws:iam::123456789012:user/ada"),
        ("${aws:PrincipalTag/Team}", "red"),
        ("${aws:PrincipalTag/team}", "red"),
        ("${aws:PrincipalTag/team, 'none'}", "red"),
        ("${aws:PrincipalTag/town, 'none'}", "none"),
        ("${aws:PrincipalTag/town,''}", ""),
        ("${aws:PrincipalTag/town, '*'}", "*"),
        ("${aws:PrincipalTag/town}", None),
        ("${aws:PrincipalTag/Wild}", "*"),
        ("${aws:RequestTag/Many}", None),
        ("${dynamodb:LeadingKeys}", None),
        ("${dynamodb:LeadingKeys, 'several'}", "several"),
        ("${*}${?}${$}", "*?$"),
        ("${$}{aws:username}", "${aws:username}"),
        ("$", "$"),
        ("$a}", "$a}"),
    ],
)
def test_variables(written: str, meant: str | None) -> None:
    context = {**REQUEST, **ADA.context}
    pattern = ResourcePattern(f"arn:aws:dynamodb:us-east-1:1:table/{written}", variables=True)
    tables = ("ada", "x-ada-y", "anything", "", *((meant,) if meant else ()))
    matching = {
        table
        for table in tables
        if pattern.matches(f"arn:aws:dynamodb:us-east-1:1:table/{table}", context)
    }
    assert matching == ({meant} if meant is not None else set())


def test_variables_of_old_documents_are_text() -> None:
    pattern = ResourcePattern("arn:aws:dynamodb:us-east-1:1:table/${aws:username}", variables=False)
    assert pattern.matches("arn:aws:dynamodb:us-east-1:1:table/${aws:username}", ADA.context)
    assert not pattern.matches("arn:aws:dynamodb:us-east-1:1:table/ada", ADA.context)


@pytest.mark.parametrize(
    ("pattern", "arn", "matches"),
    [
        ("*", TABLE, True),
        ("arn:aws:*:*:*:*", "arn:aws", False),
        (TABLE, TABLE, True),
        ("arn:aws:dynamodb:*:*:table/*", STREAM, True),
        ("arn:aws:dynamodb:*:*:*", TABLE, True),
        ("arn:aws:dynamodb:us?east?1:*:table/Users", TABLE, True),
        ("${aws:PrincipalArn}", "arn:aws:iam::123456789012:user/ada", True),
        ("${aws:username}", TABLE, False),
        ("arn:aws:iam::123456789012:user/${aws:PrincipalTag/town}", TABLE, False),
    ],
)
def test_arns_in_conditions_are_compared_part_by_part(
    pattern: str, arn: str, matches: bool
) -> None:
    read = ArnPattern.read(pattern, variables=True)
    assert read.matches(arn, ADA.context) is matches
    assert read.settled(ADA.context).matches(arn, {}) is matches
    # Nothing runs on past a colon here.
    assert not ArnPattern.read("arn:aws:dynamodb:*:table/Users:x", variables=True).matches(
        TABLE, {}
    )

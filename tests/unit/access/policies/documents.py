"""Documents, callers, requests and contexts to draw from: few of each, so that they meet."""

import json
from typing import Any

from hypothesis import strategies as st

from paceline.access.policies.context import Caller, Context, arn_of, context_of
from paceline.access.policies.policy import Kind, Policy
from paceline.access.policies.rights import Rights

ACCOUNT = "123456789012"
TABLE = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/Users"
USER = f"arn:aws:iam::{ACCOUNT}:user/ada"

ACTIONS = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:BatchGetItem", "dax:GetItem"]
ACTION_PATTERNS = [
    *ACTIONS,
    *("*", "*:*", "dynamodb:*", "DYNAMODB:getitem", "dynamodb:*Item", "dynamodb:?etItem", "dax:*"),
]
RESOURCES = [
    TABLE,
    f"{TABLE}/index/byTeam",
    f"{TABLE}/stream/2030-01-01T00:00:00.000",
    f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/ada",
    f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/red-*",
    "arn:aws:dynamodb::x:y:z:table/Users",
    "*",
]
RESOURCE_PATTERNS = [
    *RESOURCES,
    *("arn:aws:dynamodb:*", "arn:aws:dynamodb:*:*:table/*", "arn:*:dynamodb:*:table/Users"),
    *("arn:aws:dynamodb:us-*1:*:table/User?", "arn:aws:dynamodb:*:*:table/*/index/*"),
    f"arn:aws:dynamodb:us-east-?:{ACCOUNT}:table/U*s/stream/*",
    f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/${{aws:username}}",
    f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/${{aws:PrincipalTag/team, 'ada'}}",
    f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/${{aws:PrincipalTag/team}}-${{*}}",
    f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/${{aws:RequestTag/table}}",
    f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/${{dynamodb:LeadingKeys, 'Users'}}",
]
STRINGS = [
    *("ada", "Ada", "red", "", "r*", "?da", "*", "GetItem", "ada/x", "a:b"),
    *("${aws:username}", "${aws:username}/*", "${aws:PrincipalTag/team, 'red'}", "${$}{x"),
    *("${aws:RequestTag/table}", "${aws:PrincipalTag/none}", "r${*}", "$", "SPECIFIC_ATTRIBUTES"),
]
ARNS = [USER, "*", "arn:aws:iam::*:user/*", "arn:aws:iam::1:user/${aws:username}", "arn:*:*:*:*:*"]
NUMBERS = ["5", "5.0", "-1", "1e3", "0.5"]
DATES = [
    *("2030-01-01", "2030-01-01T00:00:00Z", "2030-01-01T01:30:00+01:30", "1893456000"),
    *("1893456000.5", "2030-01-01T00:00:00.500Z", "2029-12-31T12:00Z"),
]
ADDRESSES = ["203.0.113.0/24", "203.0.113.7", "::/0", "2001:db8::/32", "10.0.0.1/8"]
VALUES = {
    "String": STRINGS,
    "Arn": ARNS,
    "Numeric": NUMBERS,
    "Date": DATES,
    "Bool": ["true", "false", "TRUE", True],
    "Binary": ["YWRh", "", "/w=="],
    "Ip": ADDRESSES,
    "Null": ["true", "false", True],
}
COMPARISONS = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan"]
OPERATORS = [
    *("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
    *("StringLike", "StringNotLike", "Bool", "BinaryEquals", "IpAddress", "NotIpAddress"),
    *("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null"),
    *(kind + name for kind in ("Numeric", "Date") for name in [*COMPARISONS, "GreaterThanEquals"]),
]
KEYS = [
    *("dynamodb:LeadingKeys", "dynamodb:Attributes", "dynamodb:Select", "aws:SourceIp"),
    *("aws:username", "aws:PrincipalTag/Team", "aws:CurrentTime", "aws:PrincipalArn", "x:y"),
    *("aws:RequestTag/table", "AWS:TAGKEYS"),
]
GIVEN = [
    *("ada", "Ada", "red", "", "SPECIFIC_ATTRIBUTES", "203.0.113.7", "2001:db8::1", "5", "1000"),
    *("2030-01-01T00:00:00Z", "1893456000", "true", "False", "YWRh", USER, "Users", "r*", "ada/x"),
    *("not/a/number", "2030-13-01", "arn:aws:iam", "a:b", "$", "${x"),
]


def family(operator: str) -> list[Any]:
    bare = operator.removeprefix("Not")
    return next(values for name, values in VALUES.items() if bare.startswith(name))


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for operator in draw(st.lists(st.sampled_from(OPERATORS), max_size=2, unique=True)):
        name = operator
        if operator != "Null":
            name = draw(st.sampled_from(["", "", "ForAllValues:", "ForAnyValue:"])) + name
            name += draw(st.sampled_from(["", "", "IfExists"]))
        values = st.lists(st.sampled_from(family(operator)), min_size=1, max_size=3)
        keys = st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=2)
        made[name] = draw(keys)
    return made


def one_or_more(pool: list[str]) -> st.SearchStrategy[Any]:
    one = st.sampled_from(pool)
    return one | st.lists(one, min_size=1, max_size=3)


@st.composite
def statements(draw: st.DrawFn, kind: Kind) -> dict[str, Any]:
    made: dict[str, Any] = {"Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"]))}
    made[draw(st.sampled_from(["Action", "Action", "NotAction"]))] = draw(
        one_or_more(ACTION_PATTERNS)
    )
    made[draw(st.sampled_from(["Resource", "Resource", "NotResource"]))] = draw(
        one_or_more(RESOURCE_PATTERNS)
    )
    if draw(st.booleans()):
        made["Condition"] = draw(conditions())
    if kind is Kind.TABLE:
        names = [USER, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", f"{USER}2", "*"]
        made["Principal"] = draw(st.just("*") | st.fixed_dictionaries({"AWS": one_or_more(names)}))
    return made


@st.composite
def texts(draw: st.DrawFn, kind: Kind = Kind.IDENTITY) -> str:
    made: dict[str, Any] = {}
    if draw(st.integers(0, 5)):
        made["Version"] = draw(st.sampled_from(["2012-10-17"] * 4 + ["2008-10-17"]))
    listed = st.lists(statements(kind), min_size=1, max_size=3)
    made["Statement"] = draw(statements(kind) | listed)
    # Values of variables are literal in old documents, where an ARN needs none of them.
    return json.dumps(made)


callers = st.builds(
    Caller,
    name=st.sampled_from(["ada", "bob"]),
    arn=st.sampled_from([USER, USER, arn_of("ada")]),
    tags=st.sampled_from([{}, {"Team": "red"}, {"team": "r*"}, {"Team": ""}]),
)

contexts: st.SearchStrategy[Context] = st.dictionaries(
    st.sampled_from(KEYS), st.lists(st.sampled_from(GIVEN), max_size=3), max_size=6
).map(context_of)


def rights(
    caller: Caller, identity: list[str], session: list[str] | None, table: list[str]
) -> Rights:
    def read(documents: list[str], kind: Kind) -> tuple[Policy, ...]:
        return tuple(
            Policy.parse(text, f"{kind.value} {n}", kind) for n, text in enumerate(documents)
        )

    return Rights(
        caller,
        read(identity, Kind.IDENTITY),
        None if session is None else read(session, Kind.SESSION),
        read(table, Kind.TABLE),
    )

"""Documents: what is read, what is refused and where, and that nothing else ever comes out."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paceline.access.policies.context import Caller
from paceline.access.policies.decisions import AccessRequest, Outcome, decide
from paceline.access.policies.json_text import CHARACTERS_MAX
from paceline.access.policies.policy import Kind, Policy
from paceline.access.policies.problems import PolicyError
from paceline.access.policies.rights import Rights
from tests.support.examples import examples
from tests.support.rows import every_row
from tests.unit.access.policies.documents import TABLE, USER, texts

ALLOW = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "*"}


def text_of(*statements: dict[str, Any], **members: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **members})


def test_a_document_has_its_statements_in_order() -> None:
    policy = Policy.parse(
        text_of({**ALLOW, "Sid": "Reading"}, {**ALLOW, "Effect": "Deny"}, Id="any"), "p.json"
    )
    assert [one.name for one in policy.statements] == ["Reading", "#1"]
    assert (policy.name, policy.kind, policy.error) == ("p.json", Kind.IDENTITY, None)


@pytest.mark.parametrize("version", [None, "2008-10-17", "2012-10-17"])
def test_one_statement_needs_no_list(version: str | None) -> None:
    document: dict[str, Any] = {"Statement": ALLOW}
    if version:
        document["Version"] = version
    assert len(Policy.parse(json.dumps(document), "p").statements) == 1


CASES: list[tuple[str, str, str]] = [
    ("", "$", "no JSON"),
    ("[]", "$", "no object"),
    ("null", "$", "no object"),
    ('"a"', "$", "no object"),
    ('{"Statement": [}', "$", "line 1, column 16"),
    ('{"Version": NaN}', "$", "NaN"),
    ("\ufeff{}", "$", "BOM"),
    ('{"Id": "\\ud800", "Statement": []}', "$.Id", "surrogate"),
    ('{"Version": "2012-10-17", "Version": "2008-10-17"}', "$.Version", "twice"),
    ('{"Statement": [{"a:b": 1, "a:b": 2}]}', "$.Statement[0]['a:b']", "twice"),
    ("{}", "$.Statement", "no statements"),
    ('{"Statement": []}', "$.Statement", "no statements"),
    ('{"Statement": [[]]}', "$.Statement[0]", "no object"),
    ('{"Statement": {}, "Extra": 1}', "$.Extra", "no such element"),
    ('{"Version": "2020-01-01", "Statement": {}}', "$.Version", "'2020-01-01' is no version"),
    ('{"Version": ["2012-10-17"], "Statement": {}}', "$.Version", "is no version"),
    ('{"Id": 5, "Statement": {}}', "$.Id", "no text"),
    (text_of({"Effect": "Allow"}), "$.Statement[0]", "neither Action nor NotAction"),
    (text_of({**ALLOW, "NotAction": "*"}), "$.Statement[0]", "both Action and NotAction"),
    (text_of({**ALLOW, "NotResource": "*"}), "$.Statement[0]", "both Resource and NotResource"),
    (
        text_of({"Effect": "Allow", "Action": "*"}),
        "$.Statement[0]",
        "neither Resource nor NotResource",
    ),
    (text_of({**ALLOW, "Effect": "allow"}), "$.Statement[0].Effect", "'allow' is no effect"),
    (text_of({"Action": "*", "Resource": "*"}), "$.Statement[0].Effect", "no effect"),
    (text_of({**ALLOW, "Sid": "a b"}), "$.Statement[0].Sid", "no Sid"),
    (text_of({**ALLOW, "Sid": 5}), "$.Statement[0].Sid", "no Sid"),
    (text_of({**ALLOW, "Sid": "a"}, {**ALLOW, "Sid": "a"}), "$.Statement[1].Sid", "same Sid"),
    (text_of({**ALLOW, "Action": []}), "$.Statement[0].Action", "empty"),
    (text_of({**ALLOW, "Action": ["*", 5]}), "$.Statement[0].Action[1]", "no text"),
    (text_of({**ALLOW, "Action": "GetItem"}), "$.Statement[0].Action", "'GetItem' is no action"),
    (text_of({**ALLOW, "Action": "dyn*:GetItem"}), "$.Statement[0].Action", "no action"),
    (text_of({**ALLOW, "Action": "dynamodb:Get Item"}), "$.Statement[0].Action", "no action"),
    (text_of({**ALLOW, "Action": "dynamodb:${x}"}), "$.Statement[0].Action", "no action"),
    (text_of({**ALLOW, "Resource": "Users"}), "$.Statement[0].Resource", "'Users' is no ARN"),
    (text_of({**ALLOW, "Resource": "arn:aws:dynamodb"}), "$.Statement[0].Resource", "no ARN"),
    (text_of({**ALLOW, "Resource": ["*", ""]}), "$.Statement[0].Resource[1]", "no ARN"),
    (
        text_of({**ALLOW, "Resource": "arn:aws:dynamodb:${aws:username}:1:table/x"}),
        "$.Statement[0].Resource",
        "variable before the fifth colon",
    ),
    (text_of({**ALLOW, "Resource": f"{TABLE}/${{"}), "$.Statement[0].Resource", "no variable"),
    (text_of({**ALLOW, "Resource": f"{TABLE}/${{}}"}), "$.Statement[0].Resource", "no variable"),
    (
        text_of({**ALLOW, "Resource": f"{TABLE}/${{a, b}}"}),
        "$.Statement[0].Resource",
        "no variable",
    ),
    (text_of({**ALLOW, "Principal": "*"}), "$.Statement[0].Principal", "names principals"),
    (text_of({**ALLOW, "NotPrincipal": "*"}), "$.Statement[0].NotPrincipal", "no such element"),
    (text_of({**ALLOW, "Condition": []}), "$.Statement[0].Condition", "no object"),
    (text_of({**ALLOW, "Condition": None}), "$.Statement[0].Condition", "no object"),
    (
        text_of({**ALLOW, "Condition": {"StringEquals": {}}}),
        "$.Statement[0].Condition.StringEquals",
        "no keys",
    ),
    (
        text_of({**ALLOW, "Condition": {"StringEquals": {"aws:x": []}}}),
        "$.Statement[0].Condition.StringEquals['aws:x']",
        "no values",
    ),
    (
        text_of({**ALLOW, "Condition": {"StringEquals": {"aws:x": ["a", None]}}}),
        "$.Statement[0].Condition.StringEquals['aws:x'][1]",
        "None is no value",
    ),
    (
        text_of({**ALLOW, "Condition": {"StringEqual": {"aws:x": "a"}}}),
        "$.Statement[0].Condition.StringEqual",
        "did you mean StringEquals?",
    ),
]
CASES += [
    (
        text_of({**ALLOW, "Condition": {operator: {"k": value}}}),
        "$.Statement[0].Condition",
        wrong,
    )
    for operator, value, wrong in [
        ("stringequals", "a", "no operator"),
        ("NullIfExists", "true", "no operator"),
        ("ForAllValues:Null", "true", "no operator"),
        ("ForSomeValues:StringEquals", "a", "no operator"),
        ("ForAllValues:ForAnyValue:StringEquals", "a", "no operator"),
        (":StringEquals", "a", "no operator"),
        ("StringEqualsIfExistsIfExists", "a", "no operator"),
        ("BinaryNotEquals", "YQ==", "no operator"),
        ("Null", "maybe", "neither true nor false"),
        ("Bool", "yes", "neither true nor false"),
        ("NumericEquals", "five", "cannot be compared"),
        ("NumericEquals", "NaN", "cannot be compared"),
        ("NumericEquals", "1" * 65, "cannot be compared"),
        ("DateEquals", "yesterday", "cannot be compared"),
        ("DateEquals", "2030-02-30", "cannot be compared"),
        ("BinaryEquals", "***", "no base64"),
        ("IpAddress", "localhost", "no range"),
        ("IpAddress", "10.0.0.0/33", "no range"),
        ("ArnEquals", "arn:aws", "no ARN"),
        ("StringLike", "${", "no variable"),
        ("StringEquals", {"a": 1}, "no value"),
    ]
]


@every_row(("text", "path", "wrong"), CASES)
def test_what_cannot_be_read_is_refused_where_it_stands(text: str, path: str, wrong: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text, "p.json")
    assert caught.value.path.startswith(path)
    assert str(caught.value).startswith(f"p.json: {caught.value.path}: ")
    assert wrong in str(caught.value)
    assert caught.value.allowed


TABLE_CASES: list[tuple[Any, str, str]] = [
    (None, "$.Statement.Principal", "names no principal"),
    ("ada", "$.Statement.Principal", "no object"),
    ({}, "$.Statement.Principal", "names nobody"),
    ({"Service": "dax.amazonaws.com"}, "$.Statement.Principal.Service", "no such element"),
    ({"AWS": []}, "$.Statement.Principal.AWS", "empty"),
    ({"AWS": ["*", "ada"]}, "$.Statement.Principal.AWS[1]", "'ada' names no principal"),
    ({"AWS": "arn:aws:iam::123456789012:user/*"}, "$.Statement.Principal.AWS", "no principal"),
    ({"AWS": "12345"}, "$.Statement.Principal.AWS", "no principal"),
]


@pytest.mark.parametrize(("principal", "path", "wrong"), TABLE_CASES)
def test_a_table_policy_names_principals(principal: Any, path: str, wrong: str) -> None:
    statement = dict(ALLOW) if principal is None else {**ALLOW, "Principal": principal}
    with pytest.raises(PolicyError) as caught:
        Policy.parse(json.dumps({"Statement": statement}), "t", Kind.TABLE)
    assert caught.value.path == path
    assert wrong in str(caught.value)


def test_size_and_depth_are_bounded() -> None:
    text = text_of(ALLOW)
    assert Policy.parse(text + " " * (CHARACTERS_MAX - len(text)), "p").error is None
    with pytest.raises(PolicyError, match=r"has 10241 characters; at most 10240"):
        Policy.parse(text + " " * (CHARACTERS_MAX + 1 - len(text)), "p")
    for deep in ("[" * 9, '{"a":' * 9, "[" * 10_000, '["\\"]", ' * 9):
        with pytest.raises(PolicyError, match="nested too deeply"):
            Policy.parse(deep, "p")
    # Brackets in texts are none.
    assert Policy.parse(text_of(ALLOW, Id="[{" * 20), "p").error is None


def test_what_cannot_be_read_denies_everything() -> None:
    good = Policy.parse(text_of({**ALLOW, "Action": "*"}), "good")
    bad = Policy.read(text_of({**ALLOW, "Effect": "Perhaps"}), "bad")
    assert bad.error is not None
    request = AccessRequest("dynamodb:GetItem", TABLE)
    caller = Caller("ada", USER)
    assert decide(Rights(caller, (good,)), request).allowed
    for rights in (
        Rights(caller, (good, bad)),
        Rights(caller, (good,), session=(good, bad)),
        Rights(caller, (good,), table=(bad,)),
    ):
        decision = decide(rights, request)
        assert decision.outcome is Outcome.EXPLICITLY_DENIED
        assert decision.policy == "bad"
        assert "'Perhaps' is no effect; Allow or Deny" in decision.why


LONGEST_S = 2.0
"""Far more than any takes, also on a loaded machine; without bounds some would take minutes."""


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A readable document, in which something was overwritten, left out or put in."""
    text = draw(texts(draw(st.sampled_from(list(Kind)))))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        put = st.text(max_size=3) | st.sampled_from(['"', "{", "}", "[]", "${", "null", "1e9", "*"])
        text = text[:start] + draw(put) + text[end:]
    return text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Statement", "Effect", "Action", "Resource", "Condition", "Null", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=examples(300))
@given(
    text=st.text() | json_values.map(json.dumps) | damaged(),
    kind=st.sampled_from(list(Kind)),
)
@example(text='{"Statement": ' + "[" * 5000, kind=Kind.IDENTITY)
@example(text="1" * 10_000, kind=Kind.IDENTITY)
@example(text='"' + "\\" * 9_999, kind=Kind.IDENTITY)
def test_only_the_one_error_comes_out(text: str, kind: Kind) -> None:
    began = time.process_time()
    policy = Policy.read(text, "fuzzed", kind)
    assert (policy.error is None) is bool(policy.statements)
    assert policy.error is None or str(policy.error).startswith("fuzzed: $")
    assert time.process_time() - began < LONGEST_S


def test_patterns_take_bounded_time() -> None:
    many = "a*?" * 3000
    text = text_of(
        {
            "Effect": "Allow",
            "Action": "dynamodb:*",
            "Resource": "*",
            "Condition": {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": many}},
        }
    )
    policy = Policy.parse(text, "long")
    began = time.process_time()
    for given_text in ("a" * 2048, "ab" * 1024, "b" * 2048):
        request = AccessRequest("dynamodb:GetItem", TABLE, {"dynamodb:leadingkeys": (given_text,)})
        assert not decide(Rights(Caller("ada", USER), (policy,)), request).allowed
    colons = AccessRequest("dynamodb:GetItem", "arn:aws:dynamodb" + ":" * 2000 + "x")
    wide = Policy.parse(text_of({**ALLOW, "Resource": "arn:*:*:*:*:*y"}), "wide")
    assert not decide(Rights(Caller("ada", USER), (wide,)), colons).allowed
    assert time.process_time() - began < LONGEST_S


def test_many_attributes_meet_many_names_in_bounded_time() -> None:
    names = [f"attribute{number}" for number in range(300)]
    for sets, effect in (("ForAllValues", "Allow"), ("ForAnyValue", "Deny")):
        condition = {f"{sets}:StringEquals": {"dynamodb:Attributes": names}}
        both = [ALLOW, {**ALLOW, "Effect": "Deny", "Condition": condition}]
        statements = [{**ALLOW, "Condition": condition}] if effect == "Allow" else both
        rights = Rights(Caller("ada", USER), (Policy.parse(text_of(*statements), "many"),))
        given_names = tuple(names) * 300 if effect == "Allow" else ("other",) * 90_000
        request = AccessRequest("dynamodb:GetItem", TABLE, {"dynamodb:attributes": given_names})
        began = time.process_time()
        assert decide(rights, request).allowed
        assert time.process_time() - began < LONGEST_S

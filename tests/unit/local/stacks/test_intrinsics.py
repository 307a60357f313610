"""Functions and conditions."""

from __future__ import annotations

from typing import Any

import pytest

from paceline_local.stacks.intrinsics import NO_VALUE, Later, Resolver
from paceline_local.stacks.problems import Path, TemplateError
from paceline_local.stacks.template_text import read_template

CONDITIONS = """
Big: !Equals [!Ref Stage, production]
Small: !Not [!Condition Big]
Both: !And [!Condition Big, !Condition Small]
Any: !Or [!Condition Big, !Condition Small]
Odd: !Condition Odd
Wrong: !Join ["", []]
"""


def attribute(id: str, name: str | None, path: Path) -> Any:
    if id != "Cache":
        raise TemplateError(f"there is no {id}", path)
    return "orders" if name is None else Later("Cache.URL") if name == "URL" else f"its {name}"


def resolver() -> Resolver:
    values = {"Stage": "test", "Ids": ["a", "b"], "AWS::Region": "us-east-1"}
    mappings = {"Sizes": {"test": {"Nodes": 1}}}
    conditions = read_template(CONDITIONS.encode()).value
    return Resolver(values, mappings, conditions, ("a", "b"), attribute)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Stage", "test"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref Cache", "orders"),
        ("!GetAtt Cache.Arn", "its Arn"),
        ("!Sub '${Stage}-${AWS::Region}-${Cache.Arn}-${!kept}'", "test-us-east-1-its Arn-${kept}"),
        ("!Sub ['${A}/${Stage}', {A: !Ref Cache}]", "orders/test"),
        ("!Join ['-', [a, 1, true]]", "a-1-true"),
        ("!Join [',', !Ref Ids]", "a,b"),
        ("!Select ['1', !Ref Ids]", "b"),
        ("!Split ['-', a-b]", ["a", "b"]),
        ("!FindInMap [Sizes, !Ref Stage, Nodes]", 1),
        ("!If [Big, 3, !If [Small, 1, 2]]", 1),
        ("[!If [Big, x, !Ref AWS::NoValue], y]", ["y"]),
        ("{A: !If [Big, x, !Ref AWS::NoValue], B: 1}", {"B": 1}),
        ("!GetAZs ''", ["a", "b"]),
        ("!Base64 ab", "YWI="),
        ("!GetAtt Cache.URL", Later("Cache.URL")),
        ("!Sub 'at ${Cache.URL}'", Later("Cache.URL")),
        ("!Join [' ', [at, !GetAtt Cache.URL]]", Later("Cache.URL")),
        (
            "{Condition: {StringEquals: 1}, Effect: x}",
            {"Condition": {"StringEquals": 1}, "Effect": "x"},
        ),
    ],
)
def test_a_value(text: str, value: object) -> None:
    assert resolver().value(read_template(text.encode()).value, ()) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("!Ref Nobody", "there is no Nobody"),
        ("!Sub '${Nobody.Arn}'", "there is no Nobody"),
        ("!Sub ['${A}']", "list of 2"),
        ("!FindInMap [Sizes, other, Nodes]", "Mappings have no Sizes.other.Nodes"),
        ("!Select [2, !Ref Ids]", "there is no 2 of 2"),
        ("!Split ['', a]", "split by nothing"),
        ("!If [Nobody, 1, 2]", "no condition Nobody"),
        ("!If [Odd, 1, 2]", "needs itself"),
        ("!If [Wrong, 1, 2]", "no function of conditions"),
        ("!Join ['', [[a]]]", "a text is expected"),
        ("!ImportValue x", "Fn::ImportValue is not worked out"),
        ("!Equals [1, 1]", "Conditions alone"),
        ("!Ref [a]", "a name is expected"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        resolver().value(read_template(text.encode()).value, ("here",))


def test_conditions() -> None:
    told = {name: resolver().holds(name, ()) for name in ("Big", "Small", "Both", "Any")}
    assert told == {"Big": False, "Small": True, "Both": False, "Any": True}


def test_texts_that_grow_have_an_end() -> None:
    with pytest.raises(TemplateError, match="characters"):
        resolver().value({"Fn::Join": ["", ["y" * 2**20, "z"]]}, ())


def test_nothing_is_nothing() -> None:
    assert resolver().value({"Ref": "AWS::NoValue"}, ()) is NO_VALUE

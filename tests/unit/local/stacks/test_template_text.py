"""Texts of templates: what is read, on which line, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from paceline_local.stacks.problems import TemplateError
from paceline_local.stacks.template_text import BYTES_MAX, read_template


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Cache", {"Ref": "Cache"}),
        ("!GetAtt Cache.Arn", {"Fn::GetAtt": ["Cache", "Arn"]}),
        ("!GetAtt [Cache, Arn]", {"Fn::GetAtt": ["Cache", "Arn"]}),
        ("!Sub '${A}-b'", {"Fn::Sub": "${A}-b"}),
        ("!If [Yes, 1, !Ref X]", {"Fn::If": ["Yes", 1, {"Ref": "X"}]}),
        ("!Condition Big", {"Condition": "Big"}),
        ("!Select [0, !Split [',', 'a,b']]", {"Fn::Select": [0, {"Fn::Split": [",", "a,b"]}]}),
        ("2010-09-09", "2010-09-09"),
        ("yes", "yes"),
        ("0123", "0123"),
        ("true", True),
        ("'true'", "true"),
        ("12", 12),
        ("1.5", 1.5),
        ("~", None),
        ('{\n\t"a": [1, "x"]\n}', {"a": [1, "x"]}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_what_is_read(text: str, value: object) -> None:
    assert read_template(text.encode()).value == value


def test_lines_are_those_of_values_and_of_what_is_above() -> None:
    read = read_template(
        b"Resources:\n  Cache:\n    Type: x\n    Properties:\n      Ids:\n      - a\n"
    )
    assert read.line_of(("Resources", "Cache", "Type")) == 3
    assert read.line_of(("Resources", "Cache", "Properties", "Ids", 0)) == 6
    assert read.line_of(("Resources", "Cache", "Properties", "Ids", 0, "Fn::Sub")) == 6
    error = TemplateError("wrong", ("Resources", "Cache"))
    assert read.explain(error, "t.yaml") == "t.yaml:2: Resources.Cache: wrong"


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (b"", 1, "empty"),
        (b"a: 1\na: 2\n", 2, "twice"),
        (b"a: 1\n---\nb: 2\n", 2, "second document"),
        (b"a: &x 1\nb: *x\n", 1, "anchors"),
        (b"a:\n  - b\n c: 1\n", 3, "no YAML"),
        (b"a: !!python/object:os.system x\n", 1, "unknown tag|no YAML"),
        (b"a:\n  \xff\n", 2, "no UTF-8"),
        (b"[" * 100, 1, "nested"),
        (b"a: [" + b"1," * 50_001 + b"]", 1, "values"),
        (b"#" * (BYTES_MAX + 1), None, "bytes"),
        (b"? [a]\n: 1\n", 1, "a key is a text"),
        (b"a: \x00\n", 1, "no YAML"),
    ],
)
def test_what_is_refused(text: bytes, line: int | None, why: str) -> None:
    with pytest.raises(TemplateError, match=why) as found:
        read_template(text)
    assert found.value.line == line


@pytest.mark.parametrize("name", ["cluster.yaml", "groups.json"])
def test_the_templates_of_this_repository_are_read(name: str) -> None:
    folder = Path(__file__).parents[4] / "deploy" / "cloudformation"
    assert read_template((folder / name).read_bytes()).value["Resources"]

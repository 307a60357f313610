"""``paceline policy check``: what it says, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from paceline_local.cli import main as cli

TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/Users"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def made(name: str, *statements: dict[str, Any]) -> str:
        whole = [{"Effect": "Allow", "Action": "*", "Resource": "*", **one} for one in statements]
        path = tmp_path / name
        path.write_text(json.dumps({"Version": "2012-10-17", "Statement": whole}))
        return str(path)

    return made


def check(*arguments: str, action: str = "dynamodb:GetItem") -> int:
    options = ["--principal", "ada", "--action", action, "--resource", TABLE]
    return cli.run(["policy", "check", *options, *arguments])


OWN = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": "${aws:username}"}}


def test_what_is_allowed_is_explained(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = write("reads.json", {"Action": "dynamodb:PutItem"}, {"Sid": "Own", "Condition": OWN})
    assert check("--policy", file, "--context", "dynamodb:LeadingKeys=ada") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"allowed: statement Own of {file} allows dynamodb:GetItem on {TABLE}",
        f"  {file}, statement #0 (Allow) does not apply: it is not about dynamodb:getitem",
        f"  {file}, statement Own (Allow) applies",
        f"  note: statement Own of {file}: ForAllValues:StringEquals also holds where "
        'dynamodb:leadingkeys is not in the request: add "Null": {"dynamodb:leadingkeys": '
        '"false"} unless that is meant',
    ]


def test_what_is_denied_is_explained(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = write("reads.json", {"Condition": OWN})
    keys = ["--context", "dynamodb:LeadingKeys=ada", "--context", "dynamodb:leadingkeys=bob"]
    assert check("--policy", file, *keys, "--output", "json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["allowed"], told["outcome"]) == (False, "implicitly denied")
    (statement,) = told["statements"]
    assert statement["statement"] == "#0"
    assert "dynamodb:leadingkeys is 'ada', 'bob'" in statement["obstacle"]
    deny = write("never.json", {"Effect": "Deny", "Action": "dynamodb:*"})
    assert check("--policy", write("all.json", {}), "--policy", deny) == 1
    assert capsys.readouterr().out.startswith(f"explicitly denied: statement #0 of {deny} denies")


def test_sessions_tables_and_tags(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    everything = write("all.json", {})
    reads = write("reads.json", {"Action": "dynamodb:Get*"})
    both = ("--policy", everything, "--session-policy", reads)
    assert check(*both) == 0
    assert check(*both, action="dynamodb:PutItem") == 1
    table = write("table.json", {"Principal": {"AWS": "arn:aws:iam::000000000000:user/ada"}})
    assert check("--table-policy", table) == 0
    red = write("red.json", {"Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}})
    assert check("--policy", red) == 1
    assert check("--policy", red, "--tag", "Team=red") == 0
    blind = write("blind.json", {"Condition": {"StringEquals": {"dynamodb:Attributes": "a"}}})
    assert check("--policy", blind, "--context", "dynamodb:Attributes=a") == 1
    assert "never matches dynamodb:attributes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--policy", "{bad}"], "$.Statement.Effect: 'Perhaps' is no effect; Allow or Deny"),
        (["--policy", "{bad}.none"], "No such file"),
        (["--policy", "{latin}"], "no UTF-8"),
        (["--table-policy", "{good}"], "names no principal"),
        (["--context", "x"], "KEY=VALUE"),
        (["--context", "aws:username=eve"], "use --principal and --tag"),
        (["--output", "xml"], "neither 'text' nor 'json'"),
    ],
)
def test_what_cannot_be_read_is_told(
    arguments: list[str], told: str, write: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"Statement": {"Effect": "Perhaps"}}')
    latin = tmp_path / "latin.json"
    latin.write_bytes(b'{"Id": "\xe9"}')
    files = {"bad": str(bad), "latin": str(latin), "good": write("good.json", {})}
    assert check(*(one.format(**files) for one in arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("paceline: error: ")
    assert told in error
    assert error.count("\n") == 1


def test_an_action_has_a_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(action="GetItem") == 2
    assert "write dynamodb:GetItem" in capsys.readouterr().err

"""Which tables a text may name: what is surely none, and statements that are more than one."""

from __future__ import annotations

import pytest

from node.requests.statements import Unreadable, written_table
from node.requests.table_names import TABLE_NAME_MAX, table_of


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("t", "t"),
        ("arn:aws:dynamodb:eu-west-1:1:table/t", "t"),
        ("arn:aws:dynamodb:eu-west-1:1:table/t/index/i", "t"),
        ("t" * TABLE_NAME_MAX, "t" * TABLE_NAME_MAX),
        ("t" * (TABLE_NAME_MAX + 1), None),
        ("", None),
        ("/index/i", None),
        ("a\ud800", None),
        (7, None),
        (None, None),
    ],
)
def test_what_a_table_name_means(name: object, table: str | None) -> None:
    assert table_of(name) == table


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("SELECT * FROM t", None),
        ("SELECT * FROM t WHERE x = ';' ; ", None),
        ("UPDATE t SET x = 1 WHERE id = 'a;b'", "t"),
        ('DELETE FROM "a.b" WHERE id = 1;', "a.b"),
    ],
)
def test_a_single_statement_says_which_table_it_writes_to(
    statement: str, table: str | None
) -> None:
    assert written_table(statement) == table


@pytest.mark.parametrize("statement", ["SELECT * FROM t; DELETE FROM u", "", "MERGE INTO t"])
def test_what_may_be_more_than_one_statement_or_none_cannot_be_read(statement: str) -> None:
    with pytest.raises(Unreadable):
        written_table(statement)

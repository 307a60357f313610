"""Lines of the audit log: what they say, and how long they can get."""

from __future__ import annotations

import json

import pytest

from cluster.access.audit import AuditEvent, claimed_key_id, cut, line_of, lost_line
from cluster.access.counting import Refusals


def test_a_line() -> None:
    event = AuditEvent(
        "denied",
        "dax",
        "GetItem",
        "AccessDeniedException",
        "dynamodb:GetItem",
        "arn:aws:dynamodb:us-east-1:000000000000:table/t",
        "arn:aws:iam::000000000000:user/ann",
        "PLAK1",
        "10.0.0.1",
    )
    line = line_of(event, 1_700_000_000.25, {"program": "n1"})
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "log": "audit",
        "program": "n1",
        "decision": "denied",
        "protocol": "dax",
        "operation": "GetItem",
        "reason": "AccessDeniedException",
        "action": "dynamodb:GetItem",
        "resource": "arn:aws:dynamodb:us-east-1:000000000000:table/t",
        "principal": "arn:aws:iam::000000000000:user/ann",
        "access_key_id": "PLAK1",
        "address": "10.0.0.1",
    }
    told = json.loads(lost_line({"dropped": 3}, 0.0, {"program": "n1"}))
    assert told == {
        "time": "1970-01-01T00:00:00.000Z",
        "log": "audit",
        "program": "n1",
        "lost": {"dropped": 3},
    }


def test_a_stranger_writes_neither_lines_of_his_own_nor_long_ones() -> None:
    text = '"}\n{"decision": "allowed"}\r\u2028\x1b[2J\ud800' * 10_000
    event = AuditEvent("unauthenticated", "http", text, text, text, text, text, text, text, text)
    line = line_of(event, 0.0, {})
    assert line.count(b"\n") == 1
    assert len(line) < 5_000
    assert json.loads(line)["decision"] == "unauthenticated"
    assert line.isascii()


@pytest.mark.parametrize("letter", ["a", '"', "\n", "ä", "\U0001f600", "\ud800"])
def test_texts_are_cut_by_their_bytes_in_the_line(letter: str) -> None:
    size = len(json.dumps(letter)) - 2
    event = AuditEvent("denied", "http", operation=letter * 5_000, resource=letter * 5_000)
    line = line_of(cut(event), 0.0, {})
    told = json.loads(line)
    assert told["operation"] == letter * (256 // size) + "…"
    assert told["resource"] == letter * (2_048 // size) + "…"
    fits = AuditEvent("denied", "http", letter * (256 // size))
    assert json.loads(line_of(fits, 0.0, {}))["operation"] == fits.operation
    assert line_of(event, 0.0, {}) == line


def test_what_waits_to_be_written_is_not_long() -> None:
    event = AuditEvent("denied", "http", reason="a" * 1_000_000, resource="b" * 1_000_000)
    waits = cut(event)
    assert len(waits.reason) == 257
    assert len(waits.resource) == 2_049
    assert cut(waits) == waits
    short = AuditEvent("denied", "http", "GetItem")
    assert cut(short) is short


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("AWS4-HMAC-SHA256 Credential=PLAK1/20260101/r/dynamodb/aws4_request, Sig", "PLAK1"),
        ("Credential=" + "A" * 200 + "/x", ""),
        ("x" * 10_000 + "Credential=PLAK1/", ""),
        ("Credential=a b/", ""),
        ("", ""),
    ],
)
def test_a_claimed_key(text: str, key: str) -> None:
    assert claimed_key_id(text) == key


def test_refusals_are_counted_by_reason_and_told() -> None:
    told: list[AuditEvent] = []
    refusals = Refusals(told.append)
    event = AuditEvent("denied", "http", reason="AccessDeniedException")
    refusals.refused(event)
    assert told == [event]
    assert refusals.as_dict() == {"AccessDeniedException": 1}
    assert refusals.allowed is None
    Refusals().refused(event)

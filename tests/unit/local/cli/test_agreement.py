"""What ``paceline status`` says of the auditor's findings."""

from typing import Any

from rich.console import Console

from paceline_local.cli.output import status_table

LAST = {
    "at": "2026-01-02T03:04:05.678+00:00",
    "table": "orders",
    "key_sha256": "0123456789abcdef",
    "dynamodb": "absent",
    "nodes": [{"node": "node-2", "cached": "item", "age_s": 1.5}],
}


def shown(audit: dict[str, Any] | None) -> str:
    """The table of a cluster whose primary says ``audit`` of itself."""
    node: Any = {"id": "node-1", "zone": "a", "role": "primary", "dax": None, "pid": 1}
    if audit is not None:
        node["audit"] = audit
    entry: Any = {
        "dax": None,
        "epoch": 1,
        "dynamodb": {"endpoint": None, "pid": None},
        "discovery": [],
        "nodes": [node],
    }
    console = Console(width=140)
    with console.capture() as captured:
        console.print(status_table(entry))
    return " ".join(captured.get().split())


def found(keys: int, disagreements: int, last: Any = None) -> dict[str, Any]:
    hour = {"keys": keys, "disagreements": disagreements, "nines": 2.5}
    return {"reads_per_s": 1.0, "hour": hour, "last_disagreement": last}


def test_agreement_with_its_nines() -> None:
    text = shown(found(960, 0))
    assert "0 of 960 cached items differed from DynamoDB" in text
    assert "2.5 nines" in text
    assert "last:" not in text


def test_the_last_disagreement() -> None:
    text = shown(found(960, 3, LAST))
    assert "3 of 960" in text
    assert "last: table orders, key 0123456789abcdef, node-2" in text


def test_nothing_sampled_yet() -> None:
    assert "no cached item compared" in shown(found(0, 0))


def test_no_word_where_nobody_audits() -> None:
    assert "auditor" not in shown(None)
    assert "auditor" not in shown({**found(0, 0), "reads_per_s": 0.0})

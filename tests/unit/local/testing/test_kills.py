"""Deaths of a primary are counted over all runs, and each is noted once."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import kills
from tests.support.records import Records, records


class Interrupted(Exception):
    pass


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = 13

    def batch(file: Records, kind: str, first: int, count: int, seed: int) -> None:
        nonlocal left
        for number in range(first, first + count):
            if not left:
                raise Interrupted
            left -= 1
            file.add({"kind": kind, "number": number})

    monkeypatch.setattr(kills, "_batch", batch)
    path = tmp_path / "kills.jsonl"
    with pytest.raises(Interrupted), records(path, commit="a", mixed=False) as file:
        kills.run(file, 12, 5, 1)
    left = 100
    with records(path, commit="a", mixed=False) as file:
        kills.run(file, 12, 5, 1)
        kills.run(file, 12, 5, 1)
        assert [line["number"] for line in file.of(kills.ONE)] == list(range(12))
        assert [line["number"] for line in file.of(kills.TWO)] == list(range(5))
    assert left == 100 - 4


def test_the_summary_measures_the_kinds_apart() -> None:
    def line(kind: str, **more: Any) -> dict[str, Any]:
        return {"kind": kind, "commit": "abc", **more}

    told = kills.summary(
        [
            line(kills.ONE, writes_again_s=1.0, serves_again_s=2.0),
            line(kills.ONE, writes_again_s=3.0, serves_again_s=None),
            line(kills.TWO, writes_again_s=4.0, without_hits_s=12.0),
        ]
    )
    rows = [text for text in told.splitlines() if text.startswith(("| one", "| two"))]
    assert "| one death: a write again after | 2 |" in rows[0]
    assert rows[0].endswith("| 3.00 s | 0 |")
    assert rows[1].endswith("| 2.00 s | 1 |")
    assert rows[2].endswith("| 4.00 s | 0 |")
    assert rows[3].endswith("| 12.00 s | 0 |")
    assert "Commit abc." in told

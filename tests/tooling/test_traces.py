"""``make traces``: how public traces are brought and read, the policies that nodes do not have, and
the table."""

from __future__ import annotations

import gzip
import lzma
import random
import struct
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.traces import __main__ as command
from benchmarks.traces import public
from benchmarks.traces.made import KEYS, drifting, with_scans, zipf_keys
from benchmarks.traces.public import TRACES, CannotFetch, Trace, fetch, read
from benchmarks.traces.replay import POLICIES, Replay
from benchmarks.traces.sketch import COUNT_MAX, Sketch


def trace_of(folder: Path, name: str, content: bytes, form: str) -> tuple[Trace, Path]:
    path = folder / name
    path.write_bytes(content)
    digest = sha256(content).hexdigest()
    return Trace("t", "of a test", path.as_uri(), digest, form), path  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "form", "keys"),
    [
        ("a.xz", lzma.compress(struct.pack(">3i", 7, -1, 7)), "int32", [b"\0\0\0\7", b"\xff" * 4]),
        ("a.gz", gzip.compress(struct.pack(">2q", 1, 2) + b"cut"), "int64", None),
        ("b.gz", gzip.compress(b"1\n*\n2\n\n 3 \n"), "lines", [b"1", b"2", b"3"]),
        (
            "c.csv",
            b"version,time,op,size,lbn\n1,5,2a,512,42\n1,6,2a,512,43\n",
            "csv",
            [b"42", b"43"],
        ),
    ],
    ids=["int32", "int64", "lines", "csv"],
)
def test_each_form_is_read(
    tmp_path: Path, name: str, content: bytes, form: str, keys: list[bytes] | None
) -> None:
    trace, path = trace_of(tmp_path, name, content, form)
    found = [key for key, size in read(trace, fetch(trace, tmp_path), 100) if size == 1]
    assert path.exists()
    if form == "int32":
        assert found == [*(keys or []), b"\0\0\0\7"]
    elif form == "int64":
        assert found == [struct.pack(">q", 1), struct.pack(">q", 2)]
    else:
        assert found == keys
    assert read(trace, path, 1) == [(found[0], 1)]


def test_a_trace_is_downloaded_once_and_checked(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "folder"
    source.mkdir()
    trace, path = trace_of(source, "a.csv", b"lbn\n1\n", "csv")
    assert fetch(trace, folder).read_bytes() == b"lbn\n1\n"
    path.unlink()
    assert read(trace, fetch(trace, folder), 9) == [(b"1", 1)]
    (folder / "a.csv").write_bytes(b"lbn\n2\n")
    with pytest.raises(CannotFetch, match="is not the file"):
        fetch(trace, folder)
    (folder / "a.csv").unlink()
    with pytest.raises(CannotFetch, match="put it into"):
        fetch(trace, folder)


def test_what_cannot_be_brought_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = b"\n".join(b"%d" % (number % 70) for number in range(700))
    good, _ = trace_of(tmp_path, "good.csv", b"lbn\n" + keys, "csv")
    gone = Trace("gone", "of a test", (tmp_path / "gone.csv").as_uri(), "", "csv")
    monkeypatch.setattr(command, "TRACES", (good, gone))
    monkeypatch.setattr(command, "made", lambda most: iter(()))
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "SHARES", (0.8,))
    assert command.main(["--traces", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "gone.csv could not be fetched" in told.err
    assert "| t | 56 |" in (tmp_path / "results/traces.md").read_text()
    monkeypatch.setattr(command, "TRACES", (good,))
    assert command.main(["--traces", str(tmp_path)]) == 0


def test_public_traces_are_told_apart_and_pinned() -> None:
    assert len({trace.name for trace in TRACES}) == len({trace.file for trace in TRACES})
    for trace in TRACES:
        assert len(trace.digest) == 64
        assert trace.url.startswith((public.CAFFEINE, public.LIBCACHESIM))


def test_w_tinylfu_loses_and_invents_no_node() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    replay = Replay(50, POLICIES["W-TinyLFU"](50))
    held: set[bytes] = set()
    for _ in range(3000):
        key = b"%d" % int(chance.paretovariate(0.5))
        replay.run([(key, 1)])
        held = set(replay._entries)
        assert key in held
        assert len(held) <= 50
    policy = replay._budget.policy
    while policy.evict() is not None:
        pass
    assert sum(map(len, policy.queues)) == 0  # type: ignore[attr-defined]


def test_each_policy_hits_what_fits_and_prefers_what_is_popular() -> None:
    for make in POLICIES.values():
        fits = Replay(100, make(100))
        fits.run([(b"%d" % (number % 90), 1) for number in range(900)])
        assert fits.hits == 810
        popular = Replay(100, make(100))
        popular.run(zipf_keys(1.1, 20_000, 3))
        assert 0.4 < popular.ratio < 0.7


def test_a_sketch_counts_a_little_and_forgets() -> None:
    sketch = Sketch(1000)
    for _ in range(40):
        sketch.add(b"often")
    sketch.add(b"once")
    assert sketch.count(b"often") == COUNT_MAX
    assert (sketch.count(b"once"), sketch.count(b"never")) == (1, 0)
    for number in range(10_000):
        sketch.add(b"%d" % number)
    assert sketch.count(b"often") < COUNT_MAX


def test_made_traces_are_what_their_names_say() -> None:
    assert zipf_keys(0.9, 1000, 1) == zipf_keys(0.9, 1000, 1) != zipf_keys(0.9, 1000, 2)
    scanned = with_scans(0.9, 50_000, 1)
    assert len(scanned) == 50_000
    fresh = [key for key, _ in scanned if int(key) >= KEYS]
    assert len(fresh) == len(set(fresh)) == 10_000
    drifted = drifting(0.9, 50_000, 1)
    assert drifted[:1000] != drifted[-1000:]

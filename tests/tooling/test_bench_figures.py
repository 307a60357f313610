"""What the benchmark computes from what it measured, and what it says of it."""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any

import pytest

from benchmarks.load import frames
from benchmarks.load.generator import Latency
from benchmarks.load.kinds import KEY_DIGITS, MARK, Keys, Kind, Reply, spec
from benchmarks.suite import cases, plot, report
from benchmarks.suite.figures import Row, Sample, Spread, ratios, row
from benchmarks.suite.memory import KEY_BYTES, Idle, Memory, over
from benchmarks.suite.processes import Cpu, cpu, rss_bytes
from paceline.dax.connection import ServerConnection
from paceline.dax.request_types import BatchGetItem, GetItem, PutItem, Query, UpdateItem

LATENCY = Latency(1, 2, 3, 4, 5, 6)


def sample(requests: int, *processes: tuple[str, float], **more: Any) -> Sample:
    """CPU in seconds by process, three quarters of it the system's."""
    used = {name: Cpu(total, total / 4, 3 * total / 4) for name, total in processes}
    return Sample(requests, 2.0, 0, LATENCY, used, **more)


# -- arithmetic --------------------------------------------------------------------------------


def test_a_spread_is_median_least_and_most() -> None:
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert Spread.of([4, 1]) == Spread(2.5, 1, 4)
    assert Spread.of([]) is None


def test_cpu_is_told_per_request_and_by_role() -> None:
    three = [
        sample(1000, ("a", 0.010), ("b", 0.004), ("c", 0.006), primary="a"),
        sample(2000, ("a", 0.010), ("b", 0.004), ("c", 0.006), primary="a"),
    ]
    found = row("3 nodes", "put", three, None, None)
    assert found.cpu == Spread(pytest.approx(15), pytest.approx(10), pytest.approx(20))
    assert found.user is not None
    assert found.system is not None
    assert found.user.most == pytest.approx(5)
    assert found.system.most == pytest.approx(15)
    assert found.primary is not None
    assert found.replicas is not None
    assert found.primary.most == pytest.approx(10)
    assert found.replicas.most == pytest.approx(10)
    assert found.rate == Spread(750, 500, 1000)
    assert (found.p50, found.p99, found.p999) == tuple(Spread(v, v, v) for v in (1, 3, 4))
    assert found.of_redis is None


def test_ratios_are_within_a_round() -> None:
    """A machine that is twice as slow in the second round changes no ratio."""
    ours = [sample(100, ("n", 0.003)), sample(100, ("n", 0.006))]
    theirs = [sample(100, ("r", 0.001)), sample(100, ("r", 0.002))]
    assert ratios(ours, theirs) == Spread(*[pytest.approx(3)] * 3)
    assert ratios(ours, None) is None
    with pytest.raises(ValueError, match="zip"):
        ratios(ours, theirs[:1])


def test_what_ran_beside_something_else_has_no_cpu_per_request() -> None:
    found = row("s", "n", [sample(10, ("n", 1.0), counted=False)], [sample(1, ("r", 1.0))], None)
    assert found.cpu is None
    assert found.of_redis is None
    assert found.p99 == Spread(3, 3, 3)


def test_latency_beside_a_load_is_compared_within_a_round() -> None:
    def slow(p99: float) -> Sample:
        return Sample(10, 1.0, 0, Latency(1, 1, p99, p99, 1, p99), {"n": Cpu(1, 1, 0)})

    beside, alone = [slow(20), slow(90)], [slow(10), slow(30)]
    assert row("s", "n", beside, None, None, alone).p99_of_alone == Spread(2.5, 2, 3)
    assert row("s", "n", beside, None, None).p99_of_alone is None
    with pytest.raises(ValueError, match="zip"):
        row("s", "n", beside, None, None, alone[:1])


def test_a_round_without_a_reply_is_counted_and_not_divided_by() -> None:
    bad = Sample(0, 0.0, 7, LATENCY, {"n": Cpu(1, 1, 0)}, first_error="7 closed of 7")
    found = row("s", "n", [bad, sample(10, ("n", 0.001))], None, None)
    assert found.errors == 7
    assert found.first_error == "7 closed of 7"
    assert found.cpu is not None
    assert found.cpu.median == pytest.approx(100)


def test_user_and_system_add_up_to_the_exact_total() -> None:
    used = Cpu(10.5, 3.0, 2.0).since(Cpu(10.0, 2.7, 1.9))
    assert used.total == pytest.approx(0.5)
    assert used.user == pytest.approx(0.375)
    assert used.user + used.system == pytest.approx(used.total)
    still = Cpu(1.0, 1.0, 0.0)
    assert still.since(still) == Cpu(0, 0, 0)


def test_bytes_over_key_and_value() -> None:
    assert KEY_BYTES == 16
    assert over(1_000_000, 1_000_000 + 10 * (16 + 100 + 250), 100, 10) == 250


def test_the_time_of_another_process_is_seen() -> None:
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        used = cpu(process.pid)
        assert rss_bytes(process.pid) > 1_000_000
        process.communicate(b"\n")
    assert 0.3 <= used.total < 1.5
    assert used.user + used.system == pytest.approx(used.total, abs=0.1)


def test_our_own_time_is_what_the_clock_says() -> None:
    used = cpu(os.getpid())
    assert used.total == pytest.approx(time.process_time(), abs=0.2)


# -- cases -------------------------------------------------------------------------------------

KEYS = Keys(count=100)
EVERY = [
    *cases.references(KEYS),
    *cases.hits(KEYS),
    *cases.varied_hits(KEYS),
    *cases.with_tls(KEYS),
    *cases.reads_and_writes(KEYS, ("dax", "http")),
    *cases.mixes(KEYS, ("dax", "http")),
    *cases.pages_and_batches(KEYS),
    *cases.beside(KEYS),
    *cases.source(),
    *cases.paced(KEYS),
]


def test_each_case_has_a_name_of_its_own_and_what_it_is_compared_with_is_there() -> None:
    names = [case.name for case in EVERY]
    assert len(set(names)) == len(names)
    for case in EVERY:
        assert case.redis is None or case.redis in names, case.name
        assert case.alone is None or case.alone in names, case.name
        assert bool(case.alone) == bool(case.beside)


def kinds() -> Iterable[Kind]:
    for case in EVERY:
        for one in (case, *case.beside):
            yield from one.kinds


def test_each_frame_has_the_places_of_its_keys() -> None:
    for kind in kinds():
        wanted = frames.BATCH if kind.name == "batch" else 1
        assert len(kind.holes()) == wanted, kind.name
        for number, offset in enumerate(kind.holes()):
            there = kind.frame[offset : offset + KEY_DIGITS]
            assert there == str(MARK + number).encode()


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (frames.dax_get(100), GetItem),
        (frames.dax_write("PutItem", 100), PutItem),
        (frames.dax_write("UpdateItem", 100), UpdateItem),
        (frames.dax_query(100), Query),
        (frames.dax_batch_get(100), BatchGetItem),
    ],
)
def test_dax_frames_are_whole_requests(kind: Kind, wanted: type) -> None:
    connection = ServerConnection()
    connection.receive_data(frames.preamble() + kind.frame)
    connection.next_event()
    assert isinstance(connection.next_event(), wanted)
    assert not connection.buffer


def test_http_frames_are_whole_requests() -> None:
    head, _, body = frames.http_get(100).frame.partition(b"\r\n\r\n")
    assert f"\r\nContent-Length: {len(body)}".encode() in head
    assert json.loads(body) == {"TableName": "h100", "Key": {"id": {"S": f"key:{MARK}"}}}


def test_a_spec_says_all_of_a_kind() -> None:
    kind = Kind("k", b"ab%d" % MARK, Reply(1, 2, b"\x80", values=3), Keys(5, 6, "zipf"), 0.5)
    assert spec("dax", b"\x01", [kind]).splitlines() == [
        "protocol dax",
        "hello 01",
        "kind k 0.5",
        "keys 5 6 zipf",
        f"frame {b'ab'.hex()}{str(MARK).encode().hex()}",
        "hole 2 12",
        "values 3",
        "expect 1 2",
        "prefix 80",
    ]


def test_what_reads_what_is_there_is_told_from_what_disturbs() -> None:
    told = {case.name: (case.needs_hits, case.disturbs) for case in EVERY}
    assert told["DAX hit"] == (True, False)
    assert told["DAX batch of 50 hits"] == (True, False)
    assert told["DAX miss"] == told["DAX put"] == (False, True)
    assert told["DAX batch of 50 misses"] == (False, True)
    assert told["DAX 95/5, zipf"] == (True, True)
    assert told["DAX hit, 1000/s beside 200 writes/s"] == (True, True)


# -- what is said ------------------------------------------------------------------------------


def results() -> report.Results:
    ours = [sample(1000, ("n", 0.020), generator_share=0.9, hit_share=0.998)]
    theirs = [sample(1000, ("r", 0.010))]
    rows = [
        row("1 node", "redis GET", theirs, None, None),
        row("1 node", "DAX <hit>", ours, theirs, ours),
        row(
            "1 node",
            "put",
            [Sample(5, 1.0, 2, LATENCY, {"n": Cpu(1, 1, 0)}, first_error="2 refused of 5")],
            theirs,
            ours,
        ),
    ]
    machine = {"processor": "slow", "cores": "2"}
    return report.Results(
        machine, True, 1, 0.5, rows, [Memory(100, 10, 250, 500)], [Idle(3, 5, 9, 6)], ["memcached"]
    )


def test_the_document_has_ratios_errors_and_what_is_missing() -> None:
    text = report.document(results())
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert "2.00 (2.00 to 2.00)" in lines["DAX <hit> *"]
    assert " 99.8 % " in lines["DAX <hit> *"]
    assert lines["put"].split("|")[-2].strip() == "2"
    assert "- 1 node, put: 2 refused of 5" in text
    assert "more than 80 % of a core" in text
    assert "- memcached" in text
    assert lines["100 B"].split("|")[3].strip() == "250"
    assert not results().good
    found = results()
    found.rows[2:] = []
    assert found.good
    found.failed.append("5 nodes: node-3 was not ready")
    assert not found.good
    assert "- 5 nodes: node-3 was not ready" in report.document(found)


def test_the_least_share_of_hits_is_not_hidden_by_the_median() -> None:
    assert report.shares(Spread(1.0, 0.856, 1.0)) == "100.0 % (least 85.6 %)"
    assert report.shares(Spread(1.0, 1.0, 1.0)) == "100.0 %"
    assert report.shares(None) == ""


def test_the_json_file_has_everything() -> None:
    told = json.loads(report.as_json(results()))
    assert told["rows"][1]["of_redis"] == {"median": 2.0, "least": 2.0, "most": 2.0}
    assert told["machine"]["cores"] == "2"
    assert told["memory"][0]["over_dax"] == 250


def test_the_plot_is_an_svg_with_a_bar_for_each_ratio() -> None:
    found = results().rows
    root = ET.fromstring(plot.bars("title & more", found))
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "1 node: DAX <hit>" in texts
    assert "1 node: redis GET" not in texts  # nothing to compare it with
    assert "2" in texts


def test_a_plot_of_nothing_is_still_one() -> None:
    none: list[Row] = []
    ET.fromstring(plot.bars("nothing", none))

"""``paceline chaos``: what each command line asks of the cluster, and what it prints."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paceline.errors import ConfigError
from paceline_local import ready_file
from paceline_local.chaos.client import Chaos
from paceline_local.chaos.faults import Faults
from paceline_local.cli.chaos import chaos_app
from paceline_local.cli.main import run
from paceline_local.cli.quantities import duration_s, rate_bytes_per_s
from tests.support.chaos import Bench

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def chaos(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, stdout, stderr) of ``paceline chaos WORDS``."""

    def chaos(words: str) -> tuple[int, str, str]:
        code = run(["chaos", *words.split(), "--url", bench.server.url])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return chaos


def test_programs(bench: Bench, chaos: Run) -> None:
    assert chaos("kill node-2") == (0, "killed node-2\n", "")
    assert chaos("kill --zone a") == (0, "killed node-1, node-3\n", "")
    assert chaos("restart") == (0, "restarted node-1, node-2, node-3\n", "")
    assert chaos("kill --primary --for 1h") == (0, "killed node-2\n", "")
    assert chaos("pause node-3 node-4 --for 1h") == (0, "paused node-3, node-4\n", "")
    assert chaos("resume") == (0, "resumed node-3, node-4\n", "")
    assert chaos("resume") == (0, "resumed nobody: none was paused\n", "")
    assert bench.controller.take_events()[-2] == "paused node-3, node-4, for 3600 s"


@pytest.mark.parametrize(
    ("words", "parted"),
    [
        ("node-1,node-2 node-3", {("node-1", "node-3"), ("node-2", "node-3")}),
        ("node-1,node-2 | node-3", {("node-1", "node-3"), ("node-2", "node-3")}),
        ("--zone a node-2", {("node-1", "node-2"), ("node-3", "node-2")}),
        ("--primary node-4", {("node-2", "node-4")}),
    ],
)
def test_partitions(bench: Bench, chaos: Run, words: str, parted: set[tuple[str, str]]) -> None:
    code, out, _ = chaos(f"partition {words}")
    assert (code, out) == (0, "fault 1 is in effect until 'paceline chaos heal 1'\n")
    assert bench.links.with_mode("blackhole") == parted | {(b, a) for a, b in parted}
    assert chaos("heal 1") == (0, "fault 1 is over\n", "")
    assert bench.links.faults == {}


def test_partitions_of_all_kinds(bench: Bench, chaos: Run) -> None:
    chaos("partition node-1 node-2 --one-way")
    assert bench.links.with_mode("blackhole") == {("node-1", "node-2")}
    chaos("partition node-3 node-4 --cut --channel consensus")
    assert len(bench.links.with_mode("cut", "consensus")) == 2
    chaos("partition node-1 --dynamodb")
    assert len(bench.links.with_mode("blackhole", "dynamodb")) == 2
    assert chaos("heal") == (0, "healed\n", "")
    assert bench.links.faults == {}


def test_slow_and_broken_links(bench: Bench, chaos: Run) -> None:
    assert chaos("latency --zone b 50ms --jitter 10ms --for 1h") == (
        0,
        "fault 1 is in effect for 1h, or until 'paceline chaos heal 1'\n",
        "",
    )
    assert bench.links.of("node-1", "node-2") == Faults(latency_s=0.05, jitter_s=0.01)
    chaos("heal")
    chaos("bandwidth 100KB node-1 --to node-2 --one-way")
    assert set(bench.links.faults) == {
        ("node-1", "node-2", channel) for channel in ("consensus", "replication", "dax")
    }
    chaos("heal")
    chaos("drop 0.01")
    assert bench.links.of("node-1", "discovery") == Faults(drop=0.01)


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ("throttle 0.3", Faults(throttle=0.3)),
        (
            "throttle 0.3 node-1 --error ThrottlingException",
            Faults(throttle=0.3, throttle_error="ThrottlingException"),
        ),
        ("dynamodb --down", Faults(mode="cut")),
        ("dynamodb --hang --zone a", Faults(mode="blackhole")),
        ("dynamodb --latency 20ms --jitter 5ms", Faults(latency_s=0.02, jitter_s=0.005)),
        ("dynamodb --errors 0.1", Faults(errors_before=0.1)),
        ("dynamodb --errors 0.1 --after", Faults(errors_after=0.1)),
    ],
)
def test_dynamodb(bench: Bench, chaos: Run, words: str, faults: Faults) -> None:
    code, _, err = chaos(words)
    assert (code, err) == (0, "")
    assert bench.links.of("node-1", "dynamodb", "dynamodb") == faults


def test_status(bench: Bench, chaos: Run) -> None:
    chaos("kill node-4")
    chaos("throttle 0.3")
    code, out, _ = chaos("status")
    assert code == 0
    assert "dead" in next(line for line in out.splitlines() if "node-4" in line)
    assert "throttle 0.3" in out
    found = json.loads(chaos("status --output json")[1])
    assert [fault["fault"] for fault in found["faults"]] == ["throttle 0.3"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("kill node-9", "there is no 'node-9': name one of node-1, "),
        ("kill", "name whom to kill"),
        ("latency soon", "'soon' is no duration: write it as 50ms, 10s or 2m"),
        ("bandwidth fast", "'fast' is no rate"),
        ("throttle lots", "Invalid value for 'SHARE'"),
        ("dynamodb", "choose one of --down, --hang, "),
        ("dynamodb --down --hang", "choose one of --down, --hang, "),
        ("status --output xml", "neither 'table' nor 'json'"),
    ],
)
def test_what_cannot_work_is_one_line(bench: Bench, chaos: Run, words: str, message: str) -> None:
    code, out, err = chaos(words)
    assert (code, out) == (2, "")
    assert err.startswith("paceline: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_the_cluster_is_found_by_its_base_port(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry: dict[str, object] = {"nodes": [], "chaos": None}
    monkeypatch.setattr(ready_file, "registry_path", lambda port: tmp_path / f"up-{port}.json")
    assert run(["chaos", "kill", "node-1", "--base-port", "9000"]) == 2
    assert "no cluster of yours runs at base port 9000" in capsys.readouterr().err
    (tmp_path / "up-9000.json").write_text(json.dumps(entry))
    assert run(["chaos", "kill", "node-1", "--base-port", "9000"]) == 2
    assert "runs without chaos: start it with 'paceline up --chaos'" in capsys.readouterr().err
    entry["chaos"] = {"url": bench.server.url, "pid": 1}
    (tmp_path / "up-9000.json").write_text(json.dumps(entry))
    assert run(["chaos", "kill", "node-1", "--base-port", "9000"]) == 0
    assert bench.cluster.dead == {"node-1"}


def test_durations_and_rates() -> None:
    assert [duration_s(text) for text in ("50ms", "10s", "1.5", "2m")] == [0.05, 10, 1.5, 120]
    assert [rate_bytes_per_s(text) for text in ("100", "2KB", "1MiB/s")] == [100, 2000, 1048576]
    for text in ("", "-1s", "10 parsecs", "1e3"):
        with pytest.raises(ConfigError):
            duration_s(text)


DOCS = (Path(__file__).parents[4] / "docs" / "chaos.md").read_text()
SHOWN = [
    shlex.split(line, comments=True)[2:]
    for line in re.findall(r"^    (paceline chaos .*)$", DOCS, re.MULTILINE)
]


def test_every_command_that_the_documentation_shows_works(chaos: Run) -> None:
    assert len(SHOWN) > 30
    used = set()
    for shown in SHOWN:
        words = shown
        if words == ["heal", "3"]:
            words = ["heal", chaos("throttle 0.1")[1].split()[1]]
        code, _, err = chaos(" ".join(words))
        assert (code, err) == (0, ""), words
        used.add(words[0])
        if words[0] not in ("kill", "pause"):
            chaos("heal")
    assert used == {
        command.callback.__name__ for command in chaos_app.registered_commands if command.callback
    }


def test_the_documentation_names_every_method() -> None:
    methods = {name for name in vars(Chaos) if not name.startswith("_")}
    assert [name for name in methods if f"`{name}`" not in DOCS] == []

"""What chaos commands do to programs and flows, asked over HTTP as the command line asks."""

import http.client
import json
import signal
import stat
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from paceline.errors import ConfigError, Unavailable
from paceline_local.chaos import verbs
from paceline_local.chaos.client import (
    Chaos,
    LastingOptions,
    LinkOptions,
    PartitionOptions,
    SelectiveOptions,
)
from paceline_local.chaos.controller import Controller
from paceline_local.chaos.faults import HEALTHY, Faults
from paceline_local.chaos.layout import Detours, links_of
from paceline_local.chaos.token import ChaosToken, headers_for
from paceline_local.plan import make_plan
from paceline_local.probes import get_json
from tests.support.chaos import Bench, Cluster, Links
from tests.support.waiting import wait_until


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def both(*pairs: tuple[str, str]) -> set[tuple[str, str]]:
    return {*pairs, *((b, a) for a, b in pairs)}


# -- programs -------------------------------------------------------------------------------


def test_programs_are_named_by_id_zone_and_role(bench: Bench) -> None:
    assert bench.chaos.kill("node-4") == ["node-4"]
    assert bench.chaos.kill(zone="a") == ["node-1", "node-3"]
    # node-1 calls itself primary too, of an older epoch.
    assert bench.chaos.kill(primary=True) == ["node-2"]
    assert bench.chaos.kill("discovery") == ["discovery"]
    assert bench.cluster.dead == {"node-1", "node-2", "node-3", "node-4", "discovery"}
    assert bench.chaos.primary() == "node-1"


def test_a_pause_ends_by_resume_or_by_itself(bench: Bench) -> None:
    assert bench.chaos.pause("node-1,node-2") == ["node-1", "node-2"]
    states = {one["name"]: one["state"] for one in bench.chaos.status()["programs"]}
    assert states["node-2"] == "paused"
    assert states["node-3"] == "running"
    assert bench.chaos.resume() == ["node-1", "node-2"]
    assert bench.chaos.resume() == []
    bench.chaos.pause("replicas", for_s=0.02)
    wait_until(lambda: ("node-4", signal.SIGCONT) in bench.cluster.signals, "node-4 goes on")
    states = {one["name"]: one["state"] for one in bench.chaos.status()["programs"]}
    assert "paused" not in states.values()


def test_a_killed_program_comes_back_by_restart_or_by_itself(bench: Bench) -> None:
    bench.chaos.kill("node-1", "node-2")
    assert bench.chaos.restart() == ["node-1", "node-2"]
    assert bench.chaos.restart("node-1") == ["node-1"]
    assert bench.cluster.starts == ["node-1", "node-2", "node-1"]
    bench.chaos.kill("node-3", for_s=0.02)
    wait_until(lambda: "node-3" in bench.cluster.starts, "node-3 is started")
    assert bench.controller.take_events()[-2:] == [
        "killed node-3, for 20 ms",
        "started node-3 again",
    ]


def test_heal_ends_everything(bench: Bench) -> None:
    bench.chaos.kill("node-1")
    bench.chaos.pause("node-2")
    bench.chaos.partition("node-3")
    bench.chaos.throttle(0.5)
    bench.chaos.heal(links_only=True)
    assert bench.links.faults == {}
    assert bench.cluster.dead == {"node-1"}
    bench.chaos.heal()
    assert bench.cluster.dead == set()
    assert bench.cluster.signals[-1] == ("node-2", signal.SIGCONT)
    assert bench.chaos.status()["faults"] == []


# -- links ----------------------------------------------------------------------------------


def test_a_partition_of_one_group_parts_it_from_the_rest(bench: Bench) -> None:
    bench.chaos.partition("node-1")
    others = ("node-2", "node-3", "node-4")
    wanted = both(*(("node-1", other) for other in others))
    assert bench.links.with_mode("blackhole", "consensus") == wanted
    assert bench.links.with_mode("blackhole") == wanted | both(("node-1", "discovery"))
    assert bench.links.with_mode("blackhole", "dynamodb") == set()
    bench.chaos.heal()
    bench.chaos.partition("node-1", dynamodb=True)
    assert bench.links.with_mode("blackhole", "dynamodb") == both(("node-1", "dynamodb"))


def test_a_partition_of_groups_leaves_those_that_are_in_none(bench: Bench) -> None:
    bench.chaos.partition("node-1,node-2", ["node-3"])
    assert bench.links.with_mode("blackhole") == both(("node-1", "node-3"), ("node-2", "node-3"))
    bench.chaos.heal()
    bench.chaos.partition("discovery", zone="b")
    assert bench.links.with_mode("blackhole") == both(
        ("node-2", "discovery"), ("node-4", "discovery")
    )


def test_a_partition_can_be_one_way_a_cut_and_of_one_channel(bench: Bench) -> None:
    bench.chaos.partition("node-1", "node-2", one_way=True)
    assert bench.links.with_mode("blackhole") == {("node-1", "node-2")}
    bench.chaos.heal()
    bench.chaos.partition("node-1", "node-2", cut=True, channels=["consensus"])
    assert bench.links.with_mode("cut") == set()
    assert bench.links.with_mode("cut", "consensus") == both(("node-1", "node-2"))


def test_partitions_add_up_and_end_one_by_one(bench: Bench) -> None:
    first = bench.chaos.partition("node-1", "node-2", cut=True)
    second = bench.chaos.partition("node-2", "node-1,node-3")
    assert bench.links.of("node-1", "node-2").mode == "cut"
    assert bench.links.of("node-3", "node-2").mode == "blackhole"
    bench.chaos.heal(first)
    assert bench.links.of("node-1", "node-2").mode == "blackhole"
    bench.chaos.heal(second)
    assert bench.links.with_mode("blackhole") == set()
    with pytest.raises(ConfigError, match="there is no fault 1"):
        bench.chaos.heal(first)


def test_a_slow_zone_is_slow_to_all_others(bench: Bench) -> None:
    bench.chaos.latency(0.05, zone="b", jitter_s=0.01)
    slow = Faults(latency_s=0.05, jitter_s=0.01)
    assert bench.links.of("node-1", "node-2") == bench.links.of("node-2", "node-1") == slow
    assert bench.links.of("node-2", "discovery") == slow
    assert bench.links.of("node-2", "node-4") == HEALTHY
    assert bench.links.of("node-2", "dynamodb", "dynamodb") == HEALTHY
    # The later one of a kind counts, where they meet.
    bench.chaos.latency(0.2, "node-2", to=["node-1"])
    assert bench.links.of("node-2", "node-1").latency_s == 0.2
    assert bench.links.of("node-4", "node-1") == slow


def test_links_can_be_slow_and_broken_at_once(bench: Bench) -> None:
    bench.chaos.bandwidth(1000)
    bench.chaos.drop(0.25, "node-1", one_way=True, dynamodb=True)
    assert bench.links.of("node-1", "node-3") == Faults(bytes_per_s=1000, drop=0.25)
    assert bench.links.of("node-3", "node-1") == Faults(bytes_per_s=1000)
    assert bench.links.of("node-1", "dynamodb", "dynamodb") == Faults(drop=0.25)


def test_dynamodb_faults(bench: Bench) -> None:
    def at(node: str) -> Faults:
        return bench.links.of(node, "dynamodb", "dynamodb")

    bench.chaos.throttle(0.3)
    bench.chaos.throttle(1.0, "node-2", error="ThrottlingException")
    assert at("node-1").throttle == 0.3
    assert (at("node-2").throttle, at("node-2").throttle_error) == (1.0, "ThrottlingException")
    bench.chaos.dynamodb_errors(0.1, after=True)
    bench.chaos.dynamodb_latency(0.03, zone="a")
    assert at("node-3") == Faults(latency_s=0.03, throttle=0.3, errors_after=0.1)
    assert bench.links.of("dynamodb", "node-3", "dynamodb") == Faults(latency_s=0.03)
    assert bench.links.of("node-1", "node-3") == HEALTHY
    bench.chaos.heal()
    bench.chaos.dynamodb_down("node-1")
    bench.chaos.dynamodb_down("node-2", hang=True)
    assert [at(f"node-{i}").mode for i in (1, 2, 3)] == ["cut", "blackhole", "pass"]


def test_a_fault_ends_by_itself(bench: Bench) -> None:
    bench.chaos.latency(0.05, for_s=600)
    bench.chaos.partition("node-1", for_s=0.02)
    wait_until(lambda: bench.links.with_mode("blackhole") == set(), "the partition ends")
    (left,) = bench.chaos.status()["faults"]
    assert left["fault"] == "latency 50 ms"
    assert left["left_s"] is not None
    assert 500 < left["left_s"] <= 600


# -- what cannot be done --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("kill", {"targets": ["node-9"]}, "there is no 'node-9': name one of node-1, node-2,"),
        ("kill", {"zone": "x"}, "there is no zone 'x': the zones are a, b"),
        ("kill", {}, "name whom to kill"),
        ("kill", {"targets": ["dynamodb"]}, "dynamodb --down"),
        ("pause", {"targets": ["node-1"], "for_s": -1}, "a duration must be more than 0"),
        ("partition", {"groups": []}, "name whom to part"),
        ("partition", {"groups": [["node-1"], ["zone:a"]]}, "node-1 cannot be on two sides"),
        ("partition", {"groups": [["node-1"]], "cut": True, "one_way": True}, "go both ways"),
        ("partition", {"groups": [["discovery"], ["dynamodb"]]}, "there is no link between"),
        ("partition", {"groups": [["node-1"]], "channels": ["http"]}, "there is no channel"),
        ("latency", {"latency_s": -1}, "a latency must be from 0"),
        ("latency", {"latency_s": 0.1, "jitter_s": 0.2}, "greater than the latency"),
        ("latency", {}, "latency_s is missing"),
        ("latency", {"latency_s": "fast"}, "must be a number"),
        ("bandwidth", {"bytes_per_s": 1}, "at least 64"),
        ("drop", {"probability": 2}, "from 0 to 1"),
        ("throttle", {"share": 0.5, "error": "Nope"}, "no throttling error"),
        ("throttle", {"share": 0.5, "colour": "red"}, "unknown: colour"),
        ("heal", {"fault": 12}, "there is no fault 12"),
    ],
)
def test_a_command_that_cannot_work_says_why(
    bench: Bench, verb: str, arguments: dict[str, Any], message: str
) -> None:
    status, answer = post(bench, verb, json.dumps(arguments))
    assert (status, message in answer["error"]) == (400, True), answer
    assert bench.cluster.dead == set()
    assert bench.links.faults == {}


def test_a_program_that_does_not_run_is_not_paused(bench: Bench) -> None:
    bench.chaos.kill("node-2")
    with pytest.raises(ConfigError, match="node-2 does not run: 'paceline chaos restart node-2'"):
        bench.chaos.pause("node-1", "node-2")
    assert bench.cluster.signals == []


def test_without_a_primary_there_is_none_to_name(bench: Bench) -> None:
    bench.cluster.claims.clear()
    with pytest.raises(Unavailable, match="no node is primary"):
        bench.chaos.kill(primary=True)


def test_a_fault_that_could_not_be_set_is_not_listed(bench: Bench) -> None:
    bench.links.gone = True
    with pytest.raises(Unavailable, match="the proxies have gone"):
        bench.chaos.partition("node-1")
    assert bench.chaos.status()["faults"] == []


def post(bench: Bench, verb: str, body: str, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(bench.server.url.removeprefix("http://"), timeout=5)
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {bench.token.value}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST", f"/v1/{verb}", body, sent)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_the_server_answers_its_own_machine_and_its_own_clients_only(bench: Bench) -> None:
    kill = '{"targets": ["node-1"]}'
    assert post(bench, "kill", kill, Content_Type="text/plain")[0] == 415
    assert post(bench, "kill", kill, Host="rebound.example")[0] == 403
    assert post(bench, "kill", kill, Host="localhost.example")[0] == 403
    assert post(bench, "kill", kill, Origin="http://evil.example")[0] == 403
    assert post(bench, "kill", kill, Origin="null")[0] == 403
    assert post(bench, "explode", "{}", Host="rebound.example")[0] == 403
    assert post(bench, "kill", "{")[0] == 400
    assert post(bench, "kill", "[]")[0] == 400
    assert post(bench, "explode", "{}")[0] == 404
    assert post(bench, "kill", " " * 70_000)[0] == 413
    assert bench.cluster.dead == set()
    assert bench.server.url.startswith("http://127.0.0.1:")


def test_commands_are_for_those_who_can_read_the_token(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stat.S_IMODE(bench.token.path.stat().st_mode) == 0o600
    good = f"Bearer {bench.token.value}"
    for wrong in ("", "Bearer", good[:-1], good + "0", good.replace("Bearer", "Basic"), "\xff"):
        status, answer = post(bench, "kill", '{"targets": ["node-1"]}', Authorization=wrong)
        assert status == 401
        assert answer["token_file"] == str(bench.token.path)
        assert bench.token.value not in str(answer)
    assert post(bench, "explode", "{}", Authorization="Bearer x")[0] == 401
    with pytest.raises(Unavailable, match="answers 401"):
        get_json(f"{bench.server.url}/v1/status")
    assert bench.cluster.dead == set()

    copy = tmp_path / "copy"
    copy.write_text(bench.token.value)
    bench.token.path.rename(tmp_path / "away")
    with pytest.raises(Unavailable, match="token cannot be read"):
        bench.chaos.kill("node-1")
    monkeypatch.setenv("PACELINE_CHAOS_TOKEN_FILE", str(copy))
    assert bench.chaos.kill("node-1") == ["node-1"]


def test_a_client_reads_no_other_file_for_a_server(tmp_path: Path) -> None:
    other = tmp_path / "secret"
    other.write_text("0" * 64)
    for told in ({"token_file": str(other)}, {"token_file": "chaos-token"}, {}):
        with pytest.raises(Unavailable, match="no chaos-token"):
            headers_for(told, {})


def test_a_new_server_has_another_token(tmp_path: Path) -> None:
    first, second = ChaosToken.new(tmp_path), ChaosToken.new(tmp_path)
    assert first.value != second.value
    assert second.path.read_text() == second.value + "\n"


def test_a_client_of_nothing_says_so() -> None:
    with pytest.raises(Unavailable, match="connection refused"):
        Chaos("http://127.0.0.1:9").status()


# -- the layout -----------------------------------------------------------------------------


def test_every_program_dials_the_proxies_of_its_own_links() -> None:
    plan = make_plan(nodes=3, base_port=9000)
    links = links_of(plan)
    detours = Detours({link: f"127.0.0.1:{40_000 + i}" for i, link in enumerate(links)})
    maps = [detours.dial_map(name) for name in ("node-1", "node-2", "node-3", "discovery")]
    for number in (1, 2, 3):
        for use in ("consensus", "replication"):
            ways = [one.get(f"{use}/127.0.0.1:{9180 + number}") for one in maps]
            assert ways[number - 1] is ways[3] is None
            # One for each of the others: who dials can be told apart.
            assert len(set(ways)) == 3
        rosters = [one.get(f"roster/127.0.0.1:{9180 + number}") for one in maps]
        assert rosters[:3] == [None] * 3
        assert rosters[3] is not None
    assert all(len(set(one.values())) == len(one) for one in maps)
    assert f"127.0.0.1:{9121}" in maps[3]
    assert len({detours.dynamodb_endpoint(f"node-{i}") for i in (1, 2, 3)}) == 3


def test_tls_to_dynamodb_is_left_alone() -> None:
    plan = make_plan(nodes=2, dynamodb="aws")
    assert Detours(dict.fromkeys(links_of(plan), "x:1")).dynamodb_endpoint("node-1") is None
    cluster = Cluster()
    cluster.plan = plan
    controller = Controller(cluster, Links())
    with pytest.raises(ConfigError, match="reached by TLS"):
        controller.do(verbs.Throttle(share=0.5))
    controller.close()


# -- the verbs ------------------------------------------------------------------------------


def names(verb: type[verbs.Verb]) -> set[str]:
    return {field.name for field in fields(verb)}


def test_the_clients_keywords_are_the_verbs_fields() -> None:
    assert set(SelectiveOptions.__annotations__) | {"targets"} == names(verbs.Selective)
    assert set(LastingOptions.__annotations__) | {"targets"} == names(verbs.Lasting)
    assert set(LinkOptions.__annotations__) | {"targets"} == names(verbs.OnLinks)
    assert set(PartitionOptions.__annotations__) | {"groups"} == names(verbs.Partition)


@pytest.mark.parametrize("verb", verbs.VERBS.values(), ids=list(verbs.VERBS))
def test_a_verb_survives_the_way_to_the_server(verb: type[verbs.Verb]) -> None:
    values: dict[str, Any] = {
        "targets": ["node-1", "zone:a"],
        "groups": [["node-1"], ["node-2", "node-3"]],
        "channels": ["dax"],
        "to": ["discovery"],
        "zone": "a",
        "error": "ThrottlingException",
        "fault": 3,
        "wait": False,
    }
    flags = dict.fromkeys(
        ("primary", "one_way", "cut", "dynamodb", "hang", "after", "links_only"), True
    )
    given = {name: {**values, **flags}.get(name, 0.25) for name in names(verb)}
    sent = verb(**given)
    assert verb.from_json(json.loads(json.dumps(sent.to_json()))) == sent
    assert sent.to_json() == given

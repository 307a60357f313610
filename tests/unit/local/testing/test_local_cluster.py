"""What ``paceline_local.testing`` adds to a cluster of stand-ins: ports, and tables in short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paceline.errors import ConfigError
from paceline_local import cluster as planned
from paceline_local import ports, testing
from paceline_local.supervisor import ChildFailed
from paceline_local.testing import local_cluster
from paceline_local.testing.schemas import key_parameters

TAKEN = ConfigError("port 1 (node-1, DAX) is in use by another cluster")
LATE = ChildFailed("node-1: cannot listen on 127.0.0.1:1: the address is in use")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Makes each start end as told, None for well; returns the base ports, as they are tried."""

    def make(*ends: Exception | None) -> list[int]:
        tried: list[int] = []
        left = list(ends)

        def start(self: planned.PlannedCluster) -> None:
            tried.append(self.plan.ports.base)
            end = left.pop(0)
            if end is not None:
                raise end

        monkeypatch.setattr(planned.PlannedCluster, "start", start)
        monkeypatch.setattr(local_cluster.LocalCluster, "wait_serving", lambda self: None)
        return tried

    return make


def test_other_ports_are_tried_when_one_is_taken(starts: Callable[..., list[int]]) -> None:
    tried = starts(TAKEN, LATE, None)
    with testing.LocalCluster.start_new(nodes=1) as cluster:
        assert cluster.plan.ports.base == tried[-1]
        assert cluster.dax == f"dax://127.0.0.1:{tried[-1] + 111}"
        assert cluster.http == f"http://127.0.0.1:{tried[-1] + 141}"
        assert cluster.dynamodb == f"http://127.0.0.1:{tried[-1]}"
    assert len(tried) == 3


def test_any_other_failure_is_told_at_once(starts: Callable[..., list[int]]) -> None:
    tried = starts(ConfigError("the servers are not installed"))
    with pytest.raises(ConfigError, match="not installed"):
        testing.LocalCluster.start_new()
    assert len(tried) == 1


def test_it_gives_up_when_ports_are_always_taken(starts: Callable[..., list[int]]) -> None:
    tried = starts(*[TAKEN] * local_cluster.STARTS_MAX)
    with pytest.raises(ConfigError, match="in use"):
        testing.LocalCluster.start_new()
    assert len(tried) == local_cluster.STARTS_MAX


def test_a_base_port_is_free_for_all_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def bind_error(port: int) -> OSError | None:
        asked.append(port)
        return OSError() if len(asked) == 2 else None

    monkeypatch.setattr(ports, "_bind_error", bind_error)
    base = ports.free_base_port(lambda base: [base, base + 7])
    assert ports.FREE_BASE_MIN <= base < ports.FREE_BASE_MAX
    assert asked[-2:] == [base, base + 7]
    assert len(asked) == 4
    monkeypatch.setattr(ports, "_bind_error", lambda port: OSError())
    with pytest.raises(ConfigError, match="no free range"):
        ports.free_base_port(lambda base: [base])


def test_settings_of_a_single_program_are_refused() -> None:
    with pytest.raises(ConfigError, match="PACELINE_ZONE"):
        testing.LocalCluster.start_new(settings={"PACELINE_ZONE": "a"})


def test_a_key_in_short() -> None:
    assert key_parameters(["id"], {}) == {
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    }
    index = [{"AttributeName": name, "AttributeType": "B"} for name in ("x", "a:b")]
    found = key_parameters(["a:b:S", "at:N"], {"AttributeDefinitions": index})
    assert [one["KeyType"] for one in found["KeySchema"]] == ["HASH", "RANGE"]
    assert found["AttributeDefinitions"] == [
        {"AttributeName": "a:b", "AttributeType": "S"},
        {"AttributeName": "at", "AttributeType": "N"},
        {"AttributeName": "x", "AttributeType": "B"},
    ]


def test_a_whole_schema_is_left_as_it_is() -> None:
    whole = {"KeySchema": [], "AttributeDefinitions": [], "BillingMode": "PROVISIONED"}
    assert key_parameters([], whole) == whole


@pytest.mark.parametrize(
    ("key", "parameters"),
    [([], {}), (["a", "b", "c"], {}), (["a:X"], {}), ([":S"], {}), (["a"], {"KeySchema": []})],
)
def test_what_is_no_key(key: list[str], parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        key_parameters(key, parameters)


def test_names_are_imported_when_they_are_used() -> None:
    assert {getattr(testing, name).__name__ for name in testing.__all__} == {
        "Chaos",
        "LocalCluster",
        "make_plan",
    }
    with pytest.raises(AttributeError, match="no attribute"):
        _ = testing.Nothing

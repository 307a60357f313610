"""The environment written by name parses as the servers' own settings."""

from pathlib import Path

import pytest

from cluster.settings import AccessSettings, DiscoverySettings, NodeSettings
from paceline_local.environment import (
    base_environment,
    discovery_environment,
    node_environment,
)
from paceline_local.plan import make_plan

SECRET = Path("/data/secret")
KEY = Path("/c/principals-key")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    import os

    for name in [name for name in os.environ if name.startswith("PACELINE_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_who_may_do_what_is_passed_on_whole() -> None:
    """One of these settings that got lost would leave a door open without a word."""
    given = {f"PACELINE_ACCESS__{name.upper()}": "x" for name in AccessSettings.model_fields}
    assert given.items() <= base_environment(given).items()


def test_node_environment_parses_as_node_settings(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    plan = make_plan(nodes=3, zones=["x", "y"], base_port=9000, primary_lease_s=1.0)
    environment = node_environment(
        plan,
        plan.nodes[2],
        data_dir=Path("/data/node-3"),
        secret_file=SECRET,
        principals_key_file=KEY,
    )
    for name, value in {**environment, "PACELINE_PARENT_FD": "7"}.items():
        clean_environment.setenv(name, value)
    settings = NodeSettings()
    assert (settings.node_id, settings.zone) == ("node-3", "x")
    assert settings.data_dir == Path("/data/node-3")
    assert [(one.name, one.bind) for one in settings.listeners] == [("default", "127.0.0.1:9123")]
    assert settings.grpc_bind == "127.0.0.1:9163"
    assert settings.members_bind == "127.0.0.1:9183"
    assert settings.admin_bind == "127.0.0.1:9203"
    assert settings.peers == {
        "node-1": "127.0.0.1:9181",
        "node-2": "127.0.0.1:9182",
        "node-3": "127.0.0.1:9183",
    }
    assert settings.dynamodb.endpoint == "http://127.0.0.1:9000"
    assert settings.dynamodb.credentials == "dummy"
    assert settings.lease.primary_s == 1.0
    assert settings.lease.read_s < settings.lease.primary_s
    assert settings.secret_file == SECRET
    assert settings.secret == ""
    assert settings.access.principals_key_file == KEY
    assert settings.access.authentication == "off"
    assert settings.parent_fd == 7


def test_an_untouched_dynamodb_is_told_of_only_where_there_is_one(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    plan = make_plan(nodes=1)
    common = {"data_dir": Path("/d"), "secret_file": SECRET, "principals_key_file": KEY}
    said = node_environment(plan, plan.nodes[0], untouched_file=Path("/c/untouched"), **common)
    assert not said.items() <= node_environment(plan, plan.nodes[0], **common).items()
    for name, value in said.items():
        clean_environment.setenv(name, value)
    assert NodeSettings().dynamodb.untouched_file == Path("/c/untouched")
    clean_environment.delenv("PACELINE_DYNAMODB__UNTOUCHED_FILE")
    assert NodeSettings().dynamodb.untouched_file is None


def test_nothing_is_said_that_the_settings_do_not_know() -> None:
    plan = make_plan(primary_lease_s=2.0)
    known = {f"PACELINE_{name.upper()}" for name in NodeSettings.model_fields}
    written = node_environment(
        plan, plan.nodes[0], data_dir=Path("/d"), secret_file=SECRET, principals_key_file=KEY
    )
    assert {name.partition("__")[0] for name in written} <= known
    known = {f"PACELINE_{name.upper()}" for name in DiscoverySettings.model_fields}
    written = discovery_environment(plan, secret_file=SECRET, principals_key_file=KEY)
    assert {name.partition("__")[0] for name in written} <= known


def test_discovery_environment_parses_as_discovery_settings(
    clean_environment: pytest.MonkeyPatch,
) -> None:
    plan = make_plan(nodes=2, base_port=9000)
    for name, value in discovery_environment(
        plan, secret_file=SECRET, principals_key_file=KEY
    ).items():
        clean_environment.setenv(name, value)
    settings = DiscoverySettings()
    assert settings.listeners[0].bind == "127.0.0.1:9111"
    assert settings.grpc_bind == "127.0.0.1:9112"
    assert settings.seeds == ["127.0.0.1:9181", "127.0.0.1:9182"]
    assert settings.access.principals_key_file == KEY
    assert settings.region == plan.region


def test_children_inherit_tuning_but_no_identity() -> None:
    inherited = base_environment(
        {
            "PATH": "/bin",
            "AWS_PROFILE": "dev",
            "PYTHONPATH": "/elsewhere",
            "PACELINE_NODE_ID": "other",
            "PACELINE_SECRET": "other",
            "PACELINE_LISTENERS": "[]",
            "PACELINE_DYNAMODB__ENDPOINT": "http://other",
            "PACELINE_DYNAMODB__UNTOUCHED_FILE": "/other",
            "PACELINE_AUDIT__READS_PER_S": "0",
            "PACELINE_CACHE__BYTES_MAX": "2000000",
            "PACELINE_LOG_LEVEL": "debug",
        }
    )
    assert inherited == {
        "PATH": "/bin",
        "AWS_PROFILE": "dev",
        "PACELINE_AUDIT__READS_PER_S": "0",
        "PACELINE_CACHE__BYTES_MAX": "2000000",
        "PACELINE_LOG_LEVEL": "debug",
        "PYTHONUNBUFFERED": "1",
    }

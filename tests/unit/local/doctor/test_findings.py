"""What follows from what was seen, and what endpoints' URLs name."""

from __future__ import annotations

import json

import pytest

from paceline.client.signing import region_of
from paceline.errors import ConfigError
from paceline_local.doctor.findings import (
    REFUSALS,
    Level,
    has_problem,
    of_clocks,
    of_expiry,
    of_refusal,
    ok,
    problem,
    warning,
)
from paceline_local.doctor.permission import of_environment
from paceline_local.doctor.target import Target, target_of


@pytest.mark.parametrize(
    ("ahead_s", "level", "words"),
    [
        (0.0, Level.OK, "agree"),
        (-59.0, Level.OK, "agree"),
        (60.0, Level.WARNING, "60 s ahead"),
        (-299.0, Level.WARNING, "299 s behind"),
        (300.0, Level.PROBLEM, "300 s ahead"),
        (-86400.0, Level.PROBLEM, "86400 s behind"),
    ],
)
def test_clocks(ahead_s: float, level: Level, words: str) -> None:
    found = of_clocks(ahead_s)
    assert found.level is level
    assert words in found.found
    assert bool(found.advice) is (level is not Level.OK)


def test_a_certificate_that_ends_soon() -> None:
    assert of_expiry(15 * 86400).level is Level.OK
    soon = of_expiry(36 * 3600)
    assert soon.level is Level.WARNING
    assert "1.5 days" in soon.found


def test_refusals_say_what_they_are_and_what_to_do() -> None:
    for name in (*REFUSALS, "SomethingElseException"):
        found = of_refusal("permission", name, "its words")
        assert found.level is Level.PROBLEM
        assert f"{name}: its words" in found.found
        assert found.advice


def test_a_problem_is_one_and_a_warning_is_none() -> None:
    assert not has_problem([ok("a", "b"), warning("a", "b", "c")])
    assert has_problem([ok("a", "b"), problem("a", "b", "c")])


class TestTargets:
    @pytest.mark.parametrize(
        ("url", "target"),
        [
            ("dax://h:1", Target("dax", "h", 1, tls=False)),
            ("daxs://h", Target("dax", "h", 9111, tls=True, default_port=True)),
            ("h:8111", Target("dax", "h", 8111, tls=False)),
            ("h", Target("dax", "h", 8111, tls=False, default_port=True)),
            ("http://[::1]:8141/", Target("http", "::1", 8141, tls=False)),
            ("https://h", Target("http", "h", 9141, tls=True, default_port=True)),
            ("paceline+tls://h:2", Target("grpc", "h", 2, tls=True)),
            ("grpcs://h", Target("grpc", "h", 9112, tls=True, default_port=True)),
            ("dax://h:1,h2:2", Target("dax", "h", 1, tls=False)),
        ],
    )
    def test_each_kind(self, url: str, target: Target) -> None:
        assert target_of(url, {}) == target

    def test_none_is_what_the_sdk_takes(self) -> None:
        assert target_of(None, {}).url == "dax://127.0.0.1:8111"
        assert target_of(None, {"AWS_ENDPOINT_URL_DAX": "daxs://x:1"}).url == "daxs://x:1"
        both = {"PACELINE_ENDPOINT": "paceline://y:2", "AWS_ENDPOINT_URL_DAX": "daxs://x:1"}
        assert target_of(None, both).url == "paceline://y:2"

    @pytest.mark.parametrize("url", ["redis://h:1", "dax://", "dax://h:x", "http://[::1", "//"])
    def test_what_no_client_takes(self, url: str) -> None:
        with pytest.raises(ConfigError):
            target_of(url, {})

    def test_an_ipv6_address_is_in_brackets(self) -> None:
        assert Target("http", "::1", 1, tls=True).url == "https://[::1]:1"

    def test_a_kind_has_one_spelling(self) -> None:
        assert target_of("grpcs://h:1", {}).url == "paceline+tls://h:1"


class TestCredentials:
    def test_the_secret_is_not_told(self) -> None:
        environment = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "hush"}
        found = of_environment({**environment, "AWS_SESSION_TOKEN": "quiet"})
        assert "AKIA1 and a session token" in found.found
        assert not {"hush", "quiet"} & set(json.dumps(found.fields()).split())
        assert "hush" not in found.found

    def test_a_profile_is_said_to_be_left_alone(self) -> None:
        found = of_environment({"AWS_PROFILE": "dev"})
        assert found.level is Level.SKIPPED
        assert "profile dev" in found.found

    def test_the_region(self) -> None:
        assert region_of({}) == "us-east-1"
        assert region_of({"AWS_DEFAULT_REGION": "a"}) == "a"
        assert region_of({"AWS_DEFAULT_REGION": "a", "AWS_REGION": "b"}) == "b"

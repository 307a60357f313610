"""Fixtures for pytest: a real cluster for the tests of an application.

pytest loads this module in every run of an environment that has ``paceline``, whether or not a
test uses it: nothing but pytest is imported before a fixture is asked for. See
docs/testing-your-app.md.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from paceline_local.testing import Chaos, LocalCluster

_TABLE_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_TABLE_TEXT_MAX = 100
"""The most characters of a test's name in its table's; DynamoDB allows 255 in all."""
_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off")

_numbers = itertools.count(1)


class CreateTable(Protocol):
    """Makes a table as ``LocalCluster.create_table`` does, under a name that no other test uses."""

    def __call__(self, *key: str, **parameters: Any) -> str: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("paceline_nodes", "nodes of paceline_cluster (3)", default="3")
    parser.addini("paceline_zones", "zones of paceline_cluster (a b c)", type="args", default=[])
    parser.addini(
        "paceline_chaos",
        "whether its links can be made to fail: true, false or auto, which is if a test asks for "
        "the fixture paceline_chaos (auto)",
        default="auto",
    )
    parser.addini(
        "paceline_dynamodb", "a local DynamoDB that runs already: its URL", default="embedded"
    )
    parser.addini(
        "paceline_settings",
        "settings of its nodes, a line each: PACELINE_CACHE__RECORD_TTL_MILLIS=1000",
        type="linelist",
        default=[],
    )


@pytest.fixture(scope="session")
def paceline_cluster_options() -> dict[str, Any]:
    """The arguments of ``LocalCluster.start_new``, over those from the ini file. Override it."""
    return {}


@pytest.fixture(scope="session")
def paceline_cluster(
    request: pytest.FixtureRequest, paceline_cluster_options: dict[str, Any]
) -> Iterator[LocalCluster]:
    """A running ``LocalCluster``, one for all tests of the session."""
    from paceline.errors import PacelineError  # noqa: PLC0415
    from paceline_local.testing import LocalCluster  # noqa: PLC0415

    try:
        options = {**_ini_options(request), **paceline_cluster_options}
        cluster = LocalCluster.start_new(**options)
    except PacelineError as error:
        # What to do about it is in the message; where it was raised helps nobody.
        pytest.fail(f"paceline_cluster cannot be started: {error}", pytrace=False)
    yield cluster
    cluster.stop()


@pytest.fixture
def paceline_create_table(
    request: pytest.FixtureRequest, paceline_cluster: LocalCluster
) -> Iterator[CreateTable]:
    """Makes tables that the end of the test removes: ``paceline_create_table("id", "at:N")``."""
    made: list[str] = []
    test = _TABLE_NAME.sub("-", request.node.name).strip("-")[:_TABLE_TEXT_MAX]

    def create(*key: str, **parameters: Any) -> str:
        # Several sessions may share a DynamoDB that ran already.
        name = f"{test}-{os.getpid()}-{next(_numbers)}"
        made.append(name)
        return paceline_cluster.create_table(name, *key, **parameters)

    yield create
    for name in made:
        paceline_cluster.delete_table(name)


@pytest.fixture
def paceline_table_schema() -> tuple[str, ...] | dict[str, Any]:
    """The schema of ``paceline_table``: a key like ``("id", "at:N")``, or CreateTable's parameters.
    Override it."""
    return ("id",)


@pytest.fixture
def paceline_table(
    paceline_create_table: CreateTable, paceline_table_schema: tuple[str, ...] | dict[str, Any]
) -> str:
    """The name of an empty table of this test's own."""
    if isinstance(paceline_table_schema, dict):
        return paceline_create_table(**paceline_table_schema)
    if isinstance(paceline_table_schema, str):
        return paceline_create_table(paceline_table_schema)
    return paceline_create_table(*paceline_table_schema)


@pytest.fixture
def paceline_chaos(paceline_cluster: LocalCluster) -> Iterator[Chaos]:
    """Kills, pauses, parts and slows down what runs; all is well again after the test."""
    from paceline.errors import ConfigError  # noqa: PLC0415

    try:
        chaos = paceline_cluster.chaos
    except ConfigError:
        pytest.fail(
            "paceline_cluster runs without chaos: set paceline_chaos = true in pytest's ini file",
            pytrace=False,
        )
    yield chaos
    chaos.heal()
    paceline_cluster.wait_serving()


def _ini_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    from paceline.errors import ConfigError  # noqa: PLC0415

    config = request.config
    nodes = str(config.getini("paceline_nodes"))
    if not nodes.isdecimal():
        raise ConfigError(f"paceline_nodes = {nodes!r} in {config.inipath} is no number of nodes")
    settings = {}
    for line in config.getini("paceline_settings"):
        name, equals, value = line.partition("=")
        if not equals:
            raise ConfigError(f"paceline_settings in {config.inipath}: {line!r} has no '='")
        settings[name.strip()] = value.strip()
    return {
        "nodes": int(nodes),
        "zones": [part for zone in config.getini("paceline_zones") for part in zone.split(",")]
        or None,
        "chaos": _chaos_wanted(request),
        "dynamodb": config.getini("paceline_dynamodb"),
        "settings": settings,
    }


def _chaos_wanted(request: pytest.FixtureRequest) -> bool:
    from paceline.errors import ConfigError  # noqa: PLC0415

    text = str(request.config.getini("paceline_chaos")).lower()
    if text in (*_YES, *_NO):
        return text in _YES
    if text != "auto":
        raise ConfigError(f"paceline_chaos = {text!r} is neither true, false nor auto")
    return any(
        "paceline_chaos" in getattr(item, "fixturenames", ()) for item in request.session.items
    )

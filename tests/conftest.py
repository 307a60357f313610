"""What all tests share."""

import asyncio
import gc
from collections.abc import Callable, Mapping

import pytest
import uvloop
from hypothesis import settings

from tests.support import turns
from tests.support.examples import register_profiles

register_profiles()
settings.load_profile("fast")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop that the programs run on.

    It also avoids a defect of CPython's own loop: a connection that was accepted in the turn in
    which its server closes is dropped without being closed (python/cpython#109564), which shows
    as a ResourceWarning in whatever test runs when it is collected.
    """
    return {"uvloop": uvloop.new_event_loop}


def pytest_configure() -> None:
    turns.choose()  # before workers start, which may be on both sides of midnight


def pytest_report_header() -> str:
    return turns.choose()


def pytest_collection_finish() -> None:
    """Collections of garbage look at what tests make, not at all that pytest has imported: one
    second each, and many tests ask for them."""
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-frames",
        action="store_true",
        help="write proto/dax/vectors/recorded anew, from what the installed clients send",
    )

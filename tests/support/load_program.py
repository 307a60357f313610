"""The load generator for tests, or why there is none."""

import sys

import pytest

from benchmarks.load.build import CannotBuild, build


def need_load_program() -> None:
    """Skips, with the reason, where the load generator cannot be compiled."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the load generator needs Linux (epoll)")
    try:
        build()
    except CannotBuild as error:
        pytest.skip(str(error))

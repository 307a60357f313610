"""What unit tests share."""

import functools
import gc
from collections.abc import Iterator

import botocore.session
import pytest
import typer.main

from cluster.access.calling import call


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """botocore's models are read once for all sessions: 10 ms for a client instead of 60. Command
    lines are made once of their functions: 1 ms for a command instead of 60."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            botocore.session, "create_loader", functools.cache(botocore.session.create_loader)
        )
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="module")
def small_heap() -> None:
    """Collections of garbage in this module look at what its tests make, not at what those before
    them left: a fifth of a second each, late in a run."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nobody_calls() -> Iterator[None]:
    """What a test says of who calls, or has a front end say, ends with it."""
    before = call.set(None)
    yield
    call.reset(before)

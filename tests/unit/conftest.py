"""What unit tests share."""

import functools
from collections.abc import Iterator

import botocore.session
import pytest

from cluster.access.calling import call


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """botocore's models are read once for all sessions: 10 ms for a client instead of 60."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            botocore.session, "create_loader", functools.cache(botocore.session.create_loader)
        )
        yield


@pytest.fixture(autouse=True)
def nobody_calls() -> Iterator[None]:
    """What a test says of who calls, or has a front end say, ends with it."""
    before = call.set(None)
    yield
    call.reset(before)

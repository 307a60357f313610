"""Cores with the exceptions and the passed-through requests of botocore, as both clients have."""

from collections.abc import Callable
from typing import Any

from paceline.client.boto import errors, passthrough
from paceline.client.core.call_flow import Core
from paceline.client.core.routing import Router
from paceline.client.settings import Settings


def boto_core(
    router: Router, settings: Settings, clock: Callable[[], float], **options: Any
) -> Core:
    return Core(
        "dax://test", router, settings, clock, errors=errors, passthrough=passthrough, **options
    )

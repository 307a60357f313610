"""The model of CloudWatch's requests, which botocore has. It is loaded with the first request, on
another thread than the event loop's: it takes a fifth of a second."""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session


@cache
def service_model() -> Any:
    return botocore.session.Session().get_service_model("cloudwatch")


@cache
def error_shapes() -> dict[str, tuple[str, int]]:
    """By the code that Query has: the name that the other protocols have, and the status."""
    found: dict[str, tuple[str, int]] = {}
    for shape in service_model().error_shapes:
        told = shape.metadata.get("error", {})
        found.setdefault(
            told.get("code", shape.name), (shape.name, told.get("httpStatusCode", 400))
        )
    return found

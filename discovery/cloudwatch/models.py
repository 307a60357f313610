"""The model of CloudWatch's requests, which botocore has. Both are loaded with the first request,
on another thread than the event loop's: it takes a fifth of a second, and a discovery process that
nobody asks has no need of them."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def service_model() -> Any:
    import botocore.session  # noqa: PLC0415 - see the module

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

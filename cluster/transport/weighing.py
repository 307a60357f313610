"""What a DAX request holds, before it is decoded. Pure."""

from __future__ import annotations

from cluster.transport.json_values import VALUES_MAX, value_count
from paceline.dax.elements import REQUEST_ELEMENTS_MAX, count_elements
from paceline.dax.request_types import RawRequest, Request


def weigh(request: Request, elements_max: int) -> int | None:
    """Returns the number of CBOR elements or JSON values in a request that is not decoded yet; None
    if above the bound."""
    if not isinstance(request, RawRequest):
        return count_elements(request, elements_max)
    values_max = VALUES_MAX if elements_max == REQUEST_ELEMENTS_MAX else elements_max
    return value_count(request.body, values_max)

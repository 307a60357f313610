"""How much a DAX request holds once it is decoded. Pure."""

from __future__ import annotations

from cluster.transport.json_values import VALUES_MAX, value_count
from paceline.dax.elements import REQUEST_ELEMENTS_MAX, count_elements
from paceline.dax.request_types import RawRequest, Request

__all__ = ["REQUEST_ELEMENTS_MAX", "TOO_MANY_VALUES", "weigh"]

TOO_MANY_VALUES = (
    f"The request holds more than {VALUES_MAX} values; split it, or store lists of small values "
    "in fewer, larger ones"
)

_OF_A_VALUE = REQUEST_ELEMENTS_MAX // VALUES_MAX


def weigh(request: Request, elements_max: int) -> int | None:
    """Its CBOR elements, or as many as values of JSON are worth; None: more than the bound."""
    if not isinstance(request, RawRequest):
        return count_elements(request, elements_max)
    values = value_count(request.body, elements_max // _OF_A_VALUE)
    return None if values is None else values * _OF_A_VALUE

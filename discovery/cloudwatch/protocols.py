"""The three protocols that CloudWatch is spoken in: JSON 1.0, Query, and smithy's RPC v2 in CBOR.

Which one a request speaks is told by its headers and path; what it asks for and what it is answered
are the same in all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cluster.access.denied import Denied
from cluster.iso_times import second_text
from discovery.cloudwatch import cbor, wire
from discovery.cloudwatch.models import error_shapes, service_model
from discovery.services import query
from discovery.services.requests import ServiceAnswer, ServiceRequest

VERSION: Final = "2010-08-01"
NAMESPACE: Final = f"http://monitoring.amazonaws.com/doc/{VERSION}/"
TARGET: Final = "GraniteServiceVersion20100801"
JSON: Final = "application/x-amz-json-1.0"
CBOR: Final = "application/cbor"
CONTENT_TYPES: Final = (query.FORM, JSON, CBOR)
_PATH: Final = f"/service/{TARGET}/operation/"

_NAMELESS: Final = {
    "AccessDenied": "AccessDeniedException",
    "ValidationError": "ValidationException",
    "InvalidAction": "UnknownOperationException",
}
"""Names in the other protocols that the model does not have."""


@dataclass(frozen=True, slots=True)
class Asked:
    """``given``: the parameters as they came, of which only the protocol is understood yet."""

    operation: str
    given: dict[str, Any]
    is_form: bool

    def parameters(self) -> dict[str, Any]:
        """Denied for what the service's model does not allow."""
        shape = service_model().operation_model(self.operation).input_shape
        if shape is None:
            return {}
        return wire.parameters_of(shape, self.given, is_form=self.is_form)


def is_for_cloudwatch(request: ServiceRequest) -> bool:
    """Whether a request that is not signed is."""
    if request.target.startswith(_PATH) or request.header("x-amz-target").startswith(f"{TARGET}."):
        return True
    version = f"Version={VERSION}"
    return version in request.query or (
        request.content_type == query.FORM and version.encode() in request.body
    )


def operation_named(request: ServiceRequest) -> str:
    """As the request says, which may be anything; "" if it does not."""
    if request.content_type == CBOR:
        return request.target.partition("?")[0].removeprefix(_PATH)
    if request.content_type == JSON:
        return request.header("x-amz-target").removeprefix(f"{TARGET}.")
    return ""


def asked_of(request: ServiceRequest) -> Asked:
    """Denied for what is no such request."""
    if request.content_type == CBOR:
        if request.header("smithy-protocol") != "rpc-v2-cbor":
            raise Denied("SerializationException", "The header smithy-protocol is missing.")
        try:
            given = cbor.loads(request.body) if request.body else {}
        except cbor.BadCbor as error:
            raise Denied("SerializationException", f"The body is no CBOR: {error}.") from None
        return Asked(operation_named(request), _structure(given), is_form=False)
    if request.content_type == JSON:
        try:
            given = json.loads(request.body) if request.body else {}
        except (ValueError, RecursionError):
            raise Denied("SerializationException", "The body is no JSON.") from None
        return Asked(operation_named(request), _structure(given), is_form=False)
    found = query.operation_of(request)
    if found.version != VERSION:
        raise Denied("InvalidAction", f"The version {found.version[:40]} is none of this service.")
    return Asked(found.name, wire.nested(found.parameters), is_form=True)


def _structure(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Denied("SerializationException", "The parameters are no structure.")
    return given


def answer(request: ServiceRequest, operation: str, result: Mapping[str, Any]) -> ServiceAnswer:
    shape = service_model().operation_model(operation).output_shape
    if request.content_type == CBOR:
        made = _made(shape, result, wire.cbor_time)
        return ServiceAnswer(200, CBOR, cbor.dumps(made), _SMITHY)
    if request.content_type == JSON:
        return ServiceAnswer(200, JSON, json.dumps(_made(shape, result, float)).encode())
    made = {} if shape is None else wire.result_of(shape, result, second_text, as_text=True)
    inner = "".join(_elements(made))
    told = f"  <{operation}Result>{inner}</{operation}Result>\n" if shape is not None else ""
    text = (
        f'<{operation}Response xmlns="{NAMESPACE}">\n{told}'
        f"  <ResponseMetadata><RequestId>{request.id}</RequestId></ResponseMetadata>\n"
        f"</{operation}Response>\n"
    )
    return ServiceAnswer(200, query.XML, text.encode())


_SMITHY: Final = {"smithy-protocol": "rpc-v2-cbor"}


def _made(shape: Any, result: Mapping[str, Any], time: Callable[[float], Any]) -> Any:
    return {} if shape is None else wire.result_of(shape, result, time, as_text=False)


def _elements(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        yield f"<{name}>{_element(value)}</{name}>"


def _element(value: Any) -> str:
    if isinstance(value, str):
        return query.text_of(value)
    if isinstance(value, dict):
        return "".join(_elements(value))
    if isinstance(value, wire.Entries):
        return "".join(
            f"<entry><key>{query.text_of(key)}</key><value>{_element(one)}</value></entry>"
            for key, one in value.pairs
        )
    return "".join(f"<member>{_element(one)}</member>" for one in value)


def refusal(request: ServiceRequest, denied: Denied) -> ServiceAnswer:
    if request.content_type not in (CBOR, JSON):
        return query.refusal(denied, NAMESPACE, request.id)
    code, status = query.NAMES.get(denied.error_name, (denied.error_name, denied.http_status))
    name, _ = error_shapes().get(code, (_NAMELESS.get(code, denied.error_name), 0))
    kind = "Sender" if status < 500 else "Receiver"
    body = {"__type": f"com.amazonaws.cloudwatch#{name}", "message": denied.message}
    headers = {"x-amzn-query-error": f"{code};{kind}"}
    if request.content_type == CBOR:
        made = cbor.dumps(body)
        return ServiceAnswer(status, CBOR, made, {**headers, **_SMITHY})
    return ServiceAnswer(status, JSON, json.dumps(body).encode(), headers)

"""AWS's Query protocol: parameters in a form or in the query, answers in XML. Pure.

Sources: the model of STS in botocore (``sts/2011-06-15/service-2.json``), botocore's serializer and
parser, and https://smithy.io/2.0/aws/protocols/aws-query-protocol.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from cluster.access.denied import Denied
from discovery.services.requests import ServiceAnswer, ServiceRequest

FORM: Final = "application/x-www-form-urlencoded"
XML: Final = "text/xml"
PARAMETERS_MAX: Final = 1_024
LISTED_MAX: Final = 512

_OF_SIGNATURES: Final = "X-Amz-"
_NO_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

NAMES: Final = {
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
}
"""What these services call the faults of signatures that DynamoDB has other names for."""

Value = str | Mapping[str, "Value"]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request asks for."""

    name: str
    version: str
    parameters: Mapping[str, str]


def operation_of(request: ServiceRequest) -> Operation:
    """Of a form, or of the query of a GET; a presigned POST has its signature in the query. Denied:
    it is no such request."""
    if request.method not in ("GET", "POST"):
        raise Denied("InvalidAction", f"{request.method} is no method of this service; use POST")
    found: dict[str, str] = {}
    for name, value in (*_pairs(request.query), *_form(request)):
        if name in found:
            raise Denied("MalformedQueryString", f"The parameter {name} is there twice.")
        found[name] = value
    name, version = found.pop("Action", ""), found.pop("Version", "NO_VERSION_SPECIFIED")
    if not name:
        raise Denied("MissingAction", "The request must contain the parameter Action")
    return Operation(name, version, found)


def _form(request: ServiceRequest) -> Iterator[tuple[str, str]]:
    if request.method == "GET":
        if request.body:
            raise Denied("MalformedQueryString", "A GET has no body; its parameters are its query.")
        return
    try:
        yield from _pairs(request.body.decode("ascii"))
    except UnicodeDecodeError:
        raise Denied(
            "MalformedQueryString", "The form is not in ASCII; write other characters as %XX."
        ) from None


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    if not text:
        return
    try:
        pairs = parse_qsl(
            # A sign that begins no escape stands for itself; to find that out takes long.
            _NO_ESCAPE.sub("%25", text),
            keep_blank_values=True,
            max_num_fields=PARAMETERS_MAX,
            errors="strict",
        )
    except ValueError:
        raise Denied(
            "MalformedQueryString", f"It is no form of UTF-8 with {PARAMETERS_MAX} fields at most."
        ) from None
    for name, value in pairs:
        if not name.startswith(_OF_SIGNATURES):
            yield name, value


def listed(parameters: Mapping[str, str], name: str) -> list[dict[str, str]]:
    """The entries of a list, in order, each with its members; one without members has its value
    under "". ``Tags.member.1.Key`` is ``Key`` in the first entry of ``Tags``."""
    made: list[dict[str, str]] = []
    entries: dict[str, dict[str, str]] = {}
    for key, value in parameters.items():
        if key.startswith(f"{name}.member."):
            number, _, member = key[len(name) + len(".member.") :].partition(".")
            entries.setdefault(number, {})[member] = value
    for place in range(1, LISTED_MAX + 1):
        entry = entries.pop(str(place), None)
        if entry is None:
            break
        made.append(entry)
    if entries:
        raise Denied("MalformedQueryString", f"{name} is no list from 1 on without a gap.")
    return made


def answer(
    operation: str, namespace: str, result: Mapping[str, Value], request_id: str
) -> ServiceAnswer:
    inner = "".join(_elements(result))
    text = (
        f'<{operation}Response xmlns="{namespace}">\n'
        f"  <{operation}Result>{inner}</{operation}Result>\n"
        f"  <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\n"
        f"</{operation}Response>\n"
    )
    return ServiceAnswer(200, XML, text.encode())


def refusal(denied: Denied, namespace: str, request_id: str) -> ServiceAnswer:
    name, status = NAMES.get(denied.error_name, (denied.error_name, denied.http_status))
    kind = "Sender" if status < 500 else "Receiver"
    text = (
        f'<ErrorResponse xmlns="{namespace}">\n'
        f"  <Error><Type>{kind}</Type><Code>{name}</Code>"
        f"<Message>{text_of(denied.message)}</Message></Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n"
        "</ErrorResponse>\n"
    )
    return ServiceAnswer(status, XML, text.encode())


def _elements(values: Mapping[str, Value]) -> Iterator[str]:
    for name, value in values.items():
        inner = text_of(value) if isinstance(value, str) else "".join(_elements(value))
        yield f"<{name}>{inner}</{name}>"


def text_of(text: str) -> str:
    """What XML cannot have becomes U+FFFD."""
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))

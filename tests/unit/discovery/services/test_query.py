"""The Query protocol: any form is parameters or a refusal, and any answer is XML."""

from __future__ import annotations

from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access.denied import Denied
from discovery.services.query import (
    FORM,
    PARAMETERS_MAX,
    answer,
    listed,
    operation_of,
    refusal,
)
from discovery.services.requests import ServiceRequest
from discovery.services.router import Router, scope_of

HEADERS = ((b"Content-Type", FORM.encode()),)


def post(body: bytes, target: str = "/") -> ServiceRequest:
    return ServiceRequest("id", "POST", target, HEADERS, body)


def test_parameters_come_in_a_form_or_in_the_query() -> None:
    found = operation_of(post(b"Action=A&Version=1&B=%C3%A4+c&D="))
    assert (found.name, found.version, found.parameters) == ("A", "1", {"B": "ä c", "D": ""})
    signed = "/?Action=A&Version=1&X-Amz-Signature=s&B=1"
    got = operation_of(ServiceRequest("id", "GET", signed, (), b""))
    assert got.parameters == {"B": "1"}
    assert operation_of(post(b"Action=A", "/?X-Amz-Signature=s")).version == "NO_VERSION_SPECIFIED"


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (post(b""), "MissingAction"),
        (post(b"Action="), "MissingAction"),
        (post(b"Action=A&B=1&B=2"), "MalformedQueryString"),
        (post(b"Action=A&B=1", "/?B=1"), "MalformedQueryString"),
        (post(b"Action=%ff"), "MalformedQueryString"),
        (post("Action=ä".encode()), "MalformedQueryString"),
        (post(b"&".join([b"a=1"] * (PARAMETERS_MAX + 1))), "MalformedQueryString"),
        (ServiceRequest("id", "GET", "/?Action=A", (), b"B=1"), "MalformedQueryString"),
        (ServiceRequest("id", "PUT", "/?Action=A", (), b""), "InvalidAction"),
    ],
)
def test_what_is_none_is_refused(request_: ServiceRequest, name: str) -> None:
    with pytest.raises(Denied) as denied:
        operation_of(request_)
    assert (denied.value.error_name, denied.value.http_status) == (name, 400)


@given(st.binary(max_size=100), st.text(max_size=40))
def test_any_bytes_are_an_operation_or_a_refusal(body: bytes, query: str) -> None:
    request = post(b"Action=A&" + body, f"/?{query}")
    scope_of(request)
    try:
        found = operation_of(request)
        listed(found.parameters, "Tags")
    except Denied:
        return
    assert found.name == "A"


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
def test_what_is_sent_arrives(parameters: dict[str, str]) -> None:
    sent = {f"p{name}": value for name, value in parameters.items()}
    found = operation_of(post(urlencode({"Action": "A", **sent}, errors="replace").encode()))
    for name, value in sent.items():
        arrived = name.encode(errors="replace").decode(), value.encode(errors="replace").decode()
        assert found.parameters[arrived[0]] == arrived[1] or len(sent) > len(found.parameters)


def test_lists_have_no_gaps() -> None:
    parameters = {
        "Tags.member.2.Key": "b",
        "Tags.member.1.Key": "a",
        "Tags.member.1.Value": "1",
        "Keys.member.1": "x",
        "Other": "y",
    }
    assert listed(parameters, "Tags") == [{"Key": "a", "Value": "1"}, {"Key": "b"}]
    assert listed(parameters, "Keys") == [{"": "x"}]
    assert listed(parameters, "None") == []
    for number in ("0", "2", "01", "x", ""):
        with pytest.raises(Denied, match="no list"):
            listed({f"Tags.member.{number}.Key": "a"}, "Tags")


@given(st.text(), st.text())
def test_any_text_is_in_the_answer_and_in_the_refusal(one: str, other: str) -> None:
    told = answer("Op", "https://x/", {"A": one, "B": {"C": other}}, "id").body
    result = ElementTree.fromstring(told).find("{https://x/}OpResult")
    assert result is not None
    if one.isprintable():
        assert (result.findtext("{https://x/}A") or "") == one
    refused = ElementTree.fromstring(refusal(Denied("X", other), "https://x/", "id").body)
    assert refused.findtext("{https://x/}Error/{https://x/}Code") == "X"


@pytest.mark.parametrize(
    ("name", "status", "code", "kind"),
    [
        ("InvalidSignatureException", 403, "SignatureDoesNotMatch", "Sender"),
        ("UnrecognizedClientException", 403, "InvalidClientTokenId", "Sender"),
        ("ExpiredTokenException", 403, "ExpiredToken", "Sender"),
        ("IncompleteSignatureException", 400, "IncompleteSignature", "Sender"),
        ("MissingAuthenticationTokenException", 403, "MissingAuthenticationToken", "Sender"),
        ("ValidationError", 400, "ValidationError", "Sender"),
    ],
)
def test_refusals_have_their_names(name: str, status: int, code: str, kind: str) -> None:
    told = refusal(Denied(name, "a < b"), "https://x/", "id")
    assert told.status == status
    wanted = f"<Type>{kind}</Type><Code>{code}</Code><Message>a &lt; b</Message>"
    assert wanted in told.body.decode()


def test_nobody_takes_what_nobody_knows() -> None:
    assert Router([]).service_of(post(b"Action=A")) is None

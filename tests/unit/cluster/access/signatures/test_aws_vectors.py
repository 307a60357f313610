"""AWS's own test suite for Signature Version 4: what it signs is accepted, by the same text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.signatures.canonical import canonical_request, parameters_of, string_to_sign
from cluster.access.signatures.claims import claim_of
from cluster.access.signatures.requests import SignedRequest, headers_of
from cluster.access.signatures.verification import Rules
from tests.unit.cluster.access.signatures.signing import KEY, verified, with_header

CASES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "aws4_testsuite" / "vectors.json").read_text("utf-8")
)["cases"]
NOW = 1_440_938_160  # 2015-08-30T12:36:00Z
OWNER = Principal("owner", "arn:aws:iam::000000000000:user/owner")


def parsed(text: str) -> SignedRequest:
    """A request as the suite writes it: lines that begin with a blank go on with a header."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    method, _, rest = first.partition(" ")
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith(" "):
            name, value = headers.pop()
            headers.append((name, f"{value}\n{line}"))
        else:
            name, _, value = line.partition(":")
            headers.append((name, value))
    return SignedRequest.of(method, rest.rpartition(" ")[0], headers, body.encode())


@pytest.mark.parametrize("name", CASES)
def test_what_the_suite_signs_is_accepted(name: str) -> None:
    case = CASES[name]
    # One of the signed requests has another signature than the one that is said to be right.
    request = with_header(parsed(case["signed_request"]), "authorization", case["authorization"])
    headers = headers_of(request)
    claim = claim_of(parameters_of(request.query), headers)
    canonical = canonical_request(request, claim.parameters, claim.signed_headers, headers)
    assert canonical.decode() == case["canonical_request"]
    text = string_to_sign("20150830T123600Z", "20150830/us-east-1/service/aws4_request", canonical)
    assert text.decode() == case["string_to_sign"]
    token = claim.token.decode() if claim.token else None
    key = AccessKey("AKIDEXAMPLE", KEY.secret, "owner", session_token=token)
    known = KnownPrincipals((OWNER,), (key,))
    found = verified(request, now=NOW, known=known, rules=Rules("us-east-1", "service"))
    assert (found.principal, found.key, found.signed_at) == (OWNER, key, NOW)


def test_the_whole_suite_is_there() -> None:
    assert len(CASES) == 34

"""AWS's names and words for what is wrong with a signature. Pure.

Sources: answers of DynamoDB itself, as dynalite has recorded them (``index.js``,
``test/connection.js``: their wording, their order, the blank at the end of some), and as users have
quoted them in public: aws-sdk-php 2469 ('Host' or ':authority'), guregu/dynamo 68 (an expired
token), aws-sdk-js 4002 (a region), s12v/awsbeats 48 (not yet current), boto3 2280 (missing
equal-sign). What is wrong with ``X-Amz-Expires`` is in S3's words, since nobody has quoted
DynamoDB's. What AWS is not known to have words for is said in ours: a parameter or a header that
comes twice, and what is too long.
"""

from __future__ import annotations

from cluster.access.denied import Denied
from cluster.access.signatures.timestamps import text_of

THROTTLING = "ThrottlingException"
"""What clients of DynamoDB try again for."""

SHOWN_MAX = 256

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS"
    " Secret Access Key and signing method. Consult the service documentation for details."
)


def _shown(text: str) -> str:
    """A client's own text, as far as a message repeats it."""
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def missing_token() -> Denied:
    """There is no signature at all."""
    return Denied(
        "MissingAuthenticationTokenException", "Request is missing Authentication Token", 400
    )


def incomplete(message: str) -> Denied:
    return Denied("IncompleteSignatureException", message)


def invalid(message: str) -> Denied:
    return Denied("InvalidSignatureException", message)


def mismatch() -> Denied:
    """Another secret, or another request than the one that was signed; which is not said."""
    return Denied("InvalidSignatureException", MISMATCH, guessed=True)


def unknown_key() -> Denied:
    """No such key, or one that is disabled, or whose principal is."""
    return Denied(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        guessed=True,
    )


def invalid_token() -> Denied:
    """The session token is missing, is not the key's, or belongs to no temporary key."""
    return Denied(
        "UnrecognizedClientException",
        "The security token included in the request is invalid",
        guessed=True,
    )


def expired_token() -> Denied:
    return Denied("ExpiredTokenException", "The security token included in the request is expired")


def both_forms() -> Denied:
    return invalid(
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
    )


def not_a_pair(part: str, authorization: str) -> Denied:
    return incomplete(
        f"'{part}' not a valid key=value pair (missing equal-sign) in Authorization header:"
        f" '{authorization}'."
    )


def header_lacks(parameters: list[str], date: bool, authorization: str) -> Denied:
    """``date``: there is none either."""
    said = [f"Authorization header requires '{name}' parameter. " for name in parameters]
    if date:
        said.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        )
    return incomplete(f"{''.join(said)}Authorization={authorization}")


def query_lacks(parameters: list[str]) -> Denied:
    said = [f"AWS query-string parameters must include '{name}'. " for name in parameters]
    return incomplete(f"{''.join(said)}Re-examine the query-string parameters.")


def twice(what: str, name: str) -> Denied:
    """``what``: a header, a parameter. Which of both is meant is not guessed."""
    return incomplete(f"The {what} '{_shown(name)}' comes more than once.")


def too_large(what: str, found: int, most: int) -> Denied:
    return incomplete(f"{what} {found}, more than the {most} that are accepted.")


def not_a_date(text: str) -> Denied:
    return incomplete(
        f"Date must be in ISO-8601 'basic format'. Got '{_shown(text)}'."
        " See http://en.wikipedia.org/wiki/ISO_8601"
    )


def expired(signed_at: int, now: int, lifetime_s: int) -> Denied:
    return invalid(
        f"Signature expired: {text_of(signed_at)} is now earlier than {text_of(now - lifetime_s)}"
        f" ({text_of(now)} - {_duration(lifetime_s)})"
    )


def not_yet_current(signed_at: int, now: int, skew_s: int) -> Denied:
    return invalid(
        f"Signature not yet current: {text_of(signed_at)} is still later than"
        f" {text_of(now + skew_s)} ({text_of(now)} + {_duration(skew_s)})"
    )


def _duration(seconds: int) -> str:
    return f"{seconds // 60} min." if seconds % 60 == 0 else f"{seconds} sec."


def outdated(stale_s: float) -> Denied:
    """Nothing is wrong with the request: clients try again, perhaps elsewhere."""
    return Denied(
        THROTTLING,
        f"This node has not heard from its cluster within {stale_s:g} seconds, so that it cannot"
        " tell whether this access key is good. Nothing was done; try again, or another node.",
    )


def not_signed(header: str) -> Denied:
    return invalid(f"'{_shown(header)}' must be a 'SignedHeader' in the AWS Authorization.")


def host_not_signed() -> Denied:
    return invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")


def unsupported_algorithm(algorithm: str) -> Denied:
    return incomplete(
        f"Unsupported AWS 'algorithm': '{_shown(algorithm)}' (only AWS4-HMAC-SHA256 for now). "
    )


def not_five_parts(credential: str) -> Denied:
    return incomplete(
        "Credential must have exactly 5 slash-delimited elements, e.g."
        f" keyid/date/region/service/term, got '{_shown(credential)}'"
    )


def wrong_scope(
    scope: tuple[str, str, str, str], day: str, region: str, service: str, signed_at: str
) -> Denied | None:
    """What is wrong with ``scope``: day, region, service, terminator. ``day``, ``region`` and
    ``service``: what it should have; ``signed_at``: the date of the request. None: nothing."""
    said = []
    if scope[1] != region:
        said.append(_not_the_region(scope[1]))
    if scope[2] != service:
        said.append(f"Credential should be scoped to correct service: '{service}'. ")
    if scope[3] != "aws4_request":
        said.append(
            "Credential should be scoped with a valid terminator: 'aws4_request', not"
            f" '{_shown(scope[3])}'. "
        )
    if scope[0] != day:
        said.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from"
            f" HTTP: '{_shown(scope[0])}' != '{day}', from '{signed_at}'. "
        )
    return invalid("".join(said)) if said else None


def wrong_region(region: str) -> Denied:
    return invalid(_not_the_region(region))


def _not_the_region(region: str) -> str:
    return f"Credential should be scoped to a valid region, not '{_shown(region)}'. "

"""AWS Signature Version 4 as DAX connections use it: docs/dax-protocol.md section 2.1.

A connection is authorised by a signature over a constant request (POST / on dax.amazonaws.com
with no body), so it proves possession of the secret at a point in time and signs nothing else.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "dax"
HOST = "dax.amazonaws.com"
HOSTS = (HOST, f"https://{HOST}")
"""What clients sign as the host: those for Go (v1 1.2.15, v2 1.0.3) the second. Both are constants,
so one proves no less than the other."""

_DATE_FORMAT = "%Y%m%dT%H%M%SZ"
_EMPTY_HASH = sha256(b"").hexdigest()
_STRING_TO_SIGN_BYTES_MAX = 512
"""Four short lines; a real one has about 140 bytes."""


@dataclass(frozen=True, slots=True)
class DaxSignature:
    string_to_sign: bytes
    signature: str


@dataclass(frozen=True, slots=True)
class StringToSign:
    """What a client signed: when, for which region, and the hash of the constant request."""

    signed_at: datetime
    region: str
    request_hash: str


def sign_dax(secret: str, region: str, signed_at: datetime) -> DaxSignature:
    """Signs a connection; ``signed_at`` has a time zone."""
    date = signed_at.astimezone(UTC).strftime(_DATE_FORMAT)
    scope = f"{date[:8]}/{region}/{SERVICE}/aws4_request"
    string_to_sign = f"{ALGORITHM}\n{date}\n{scope}\n{_request_hash(date, HOST).decode()}".encode()
    return DaxSignature(string_to_sign, _signature(secret, date[:8], region, string_to_sign))


def parse_string_to_sign(data: bytes) -> StringToSign:
    """ValueError, with what is wrong, when ``data`` is not a DAX string-to-sign."""
    if len(data) > _STRING_TO_SIGN_BYTES_MAX:
        raise ValueError(f"the string to sign has {len(data)} bytes")
    lines = data.decode("ascii", errors="replace").split("\n")
    if len(lines) != 4 or lines[0] != ALGORITHM:
        raise ValueError(f"the string to sign does not consist of {ALGORITHM} and three lines")
    try:
        signed_at = datetime.strptime(lines[1], _DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"{lines[1]!r} is no date of the form YYYYMMDDTHHMMSSZ") from None
    scope = lines[2].split("/")
    if len(scope) != 4 or scope[0] != lines[1][:8] or scope[2:] != [SERVICE, "aws4_request"]:
        raise ValueError(f"{lines[2]!r} is no credential scope of that date for {SERVICE}")
    return StringToSign(signed_at, scope[1], lines[3])


def verify_dax(secret: str, string_to_sign: bytes, signature: str) -> bool:
    """Whether ``signature`` was made with ``secret`` over a well-formed string-to-sign.

    Whether its date is recent enough is the caller's question (``parse_string_to_sign``).
    ValueError as in ``parse_string_to_sign``.
    """
    parsed = parse_string_to_sign(string_to_sign)
    date = string_to_sign.split(b"\n")[1].decode("ascii")
    claimed = parsed.request_hash.encode()
    if not any(hmac.compare_digest(claimed, _request_hash(date, host)) for host in HOSTS):
        return False
    expected = _signature(secret, date[:8], parsed.region, string_to_sign)
    return hmac.compare_digest(expected.encode(), signature.encode())


def _request_hash(date: str, host: str) -> bytes:
    canonical = (
        f"POST\n/\n\nhost:{host}\nx-amz-date:{date}\n\nhost;x-amz-date\n{_EMPTY_HASH}".encode()
    )
    return sha256(canonical).hexdigest().encode()


def _signature(secret: str, day: str, region: str, string_to_sign: bytes) -> str:
    key = signing_key(secret, day, region, SERVICE)
    return hmac.digest(key, string_to_sign, "sha256").hex()


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """What signs in the secret's place: for one ``day`` (YYYYMMDD), region and service."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key

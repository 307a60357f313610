"""What an examination finds, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """``SKIPPED``: not looked at, and the finding says why."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """``check``: what was looked at, in a word or two. ``found``: a sentence. ``advice``: what to
    do, in a sentence; empty if nothing is to be done."""

    level: Level
    check: str
    found: str
    advice: str = ""

    def fields(self) -> dict[str, Any]:
        return asdict(self)


def ok(check: str, found: str) -> Finding:
    return Finding(Level.OK, check, found)


def skipped(check: str, found: str) -> Finding:
    return Finding(Level.SKIPPED, check, found)


def warning(check: str, found: str, advice: str) -> Finding:
    return Finding(Level.WARNING, check, found, advice)


def problem(check: str, found: str, advice: str) -> Finding:
    return Finding(Level.PROBLEM, check, found, advice)


def has_problem(findings: Iterable[Finding]) -> bool:
    return any(finding.level is Level.PROBLEM for finding in findings)


CLOCK_WARNING_S = 60.0
CLOCK_PROBLEM_S = 300.0
"""A signature is good for five minutes on either side of a node's clock."""


def of_clocks(ahead_s: float) -> Finding:
    """``ahead_s``: how much later this machine's clock is than the server's, which tells whole
    seconds."""
    said = f"this machine's clock is {abs(ahead_s):.0f} s {'ahead' if ahead_s > 0 else 'behind'}"
    advice = "set the clocks of both machines by NTP"
    if abs(ahead_s) >= CLOCK_PROBLEM_S:
        return problem("clock", f"{said}: no signature made here is accepted there", advice)
    if abs(ahead_s) >= CLOCK_WARNING_S:
        return warning("clock", f"{said}; signatures may be five minutes off", advice)
    return ok("clock", "this machine's clock and the server's agree to a second or two")


CERTIFICATE_WARNING_S = 14 * 86400.0


def of_expiry(expires_in_s: float) -> Finding:
    """Of a certificate that is good now."""
    days = expires_in_s / 86400
    if expires_in_s < CERTIFICATE_WARNING_S:
        return warning(
            "certificate",
            f"the certificate expires in {days:.1f} days",
            "renew it, and replace the files that PACELINE_TLS__CERT_FILE names: nodes read them"
            " again by themselves",
        )
    return ok("certificate", f"the certificate is trusted, and good for {days:.0f} days more")


REFUSALS = {
    "MissingAuthenticationTokenException": (
        "the cluster wants signatures, and there are no credentials in the environment",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of 'paceline principal add'",
    ),
    "UnrecognizedClientException": (
        "the cluster does not know the access key, or it was disabled",
        "ask 'paceline principal list' at a node, and set AWS_ACCESS_KEY_ID to a key that it shows;"
        " a key of AWS is none, and a session token has to go with its own key",
    ),
    "InvalidSignatureException": (
        "the signature is not accepted",
        "compare AWS_SECRET_ACCESS_KEY with what 'paceline principal add' showed, AWS_REGION with"
        " the cluster's region, and the clocks",
    ),
    "ExpiredTokenException": (
        "the session has ended",
        "get new temporary credentials",
    ),
    "AccessDeniedException": (
        "the credentials are known, and may not do this",
        "'paceline policy check' says which statement decides; 'paceline principal set' and"
        " 'paceline policy attach' change policies",
    ),
    "ThrottlingException": (
        "the node does not let this client in now",
        "wait a minute: addresses with many wrong signatures are kept out for that long; a node"
        " that is cut off from its cluster lets nobody of the log in",
    ),
    "ResourceNotFoundException": (
        "there is no such table",
        "compare the table's name, AWS_REGION and the account of the cluster's credentials",
    ),
}
"""By the error's name: what it means here, and what to do."""


def of_refusal(check: str, name: str, message: str) -> Finding:
    """Of an answer that refuses: ``name`` is the error's."""
    found, advice = REFUSALS.get(
        name, ("the request was refused", "look the error up in docs/security.md, or in the log")
    )
    return problem(check, f"{found} ({name}: {message})", advice)

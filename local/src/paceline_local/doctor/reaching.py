"""Names, ports and TLS: whether a connection to an endpoint comes about."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Sequence

from paceline.client.core.seeds import Seed
from paceline.client.tls import BUNDLE_VARIABLE, Tls, make_tls
from paceline.clock import wall_time
from paceline.errors import ConfigError
from paceline_local.doctor.findings import Finding, of_expiry, ok, problem, warning
from paceline_local.doctor.target import Target

CONNECT_S = 2.0

_OF_AWS = (".amazonaws.com", ".amazonaws.com.cn")
_SELF_SIGNED = (18, 19, 20, 21)
_EXPIRED = 10
_NOT_YET = 9
_OTHER_NAME = (62, 64)
"""OpenSSL's numbers of what is wrong with a certificate (X509_V_ERR_…)."""


def resolve(target: Target) -> tuple[Finding, list[str]]:
    """The addresses of its host in the order in which clients try them."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        advice = "compare the name with the cluster's endpoint, and ask the resolver for it"
        if target.host.endswith(_OF_AWS):
            advice = (
                "names of AWS's own lead to AWS, or nowhere: put a line with the cluster's address"
                f" and {target.host} into /etc/hosts"
            )
        return problem("name", f"{target.host} has no address: {error}", advice), []
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return ok("name", f"{target.host} is {', '.join(addresses)}"), addresses


def connect(target: Target, addresses: Sequence[str]) -> tuple[list[Finding], str | None]:
    """Tries all; returns the first that takes connections."""
    refused: dict[str, OSError] = {}
    good: list[str] = []
    for address in addresses:
        try:
            socket.create_connection((address, target.port), CONNECT_S).close()
        except OSError as error:
            refused[address] = error
        else:
            good.append(address)
    if not good:
        return [_unreachable(target, refused)], None
    findings = [ok("port", f"{good[0]} takes connections at port {target.port}")]
    before = [address for address in addresses if address in refused]
    if before and addresses.index(before[0]) < addresses.index(good[0]):
        findings.append(
            warning(
                "port",
                f"{target.host} is {before[0]} first, where nothing answers: some clients try no"
                " other address, others lose time",
                f"name {good[0]} itself, or listen at {before[0]}, too",
            )
        )
    return findings, good[0]


def _unreachable(target: Target, refused: dict[str, OSError]) -> Finding:
    said = "; ".join(f"{address}: {_reason(error)}" for address, error in refused.items())
    if all(error.errno == errno.ECONNREFUSED for error in refused.values()):
        guess = " (the URL names no port)" if target.default_port else ""
        advice = (
            f"nothing listens at port {target.port}{guess}: start the cluster ('paceline up'), or"
            " compare the port with what 'paceline status' shows"
        )
    else:
        advice = "look at firewalls, security groups and routes on the way, and at the address"
    return problem("port", f"{target.address} takes no connection ({said})", advice)


def tls_of(target: Target, ca: str | None) -> Tls | None:
    """As the SDK makes it. ConfigError for authorities that cannot be read."""
    return make_tls([Seed("dax", target.host, target.port, target.tls)], ca_bundle=ca)


def handshake(target: Target, address: str, tls: Tls) -> list[Finding]:
    try:
        with (
            socket.create_connection((address, target.port), CONNECT_S) as plain,
            tls.wrap(plain) as connection,
        ):
            version, suite = connection.version(), connection.cipher()
            expires = (connection.getpeercert() or {}).get("notAfter")
    except ssl.SSLCertVerificationError as error:
        return [_untrusted(target, error)]
    except (OSError, ValueError) as error:
        return [
            problem(
                "TLS",
                f"{target.address} ends the handshake ({_reason(error)})",
                "ports without TLS do so: their URLs begin with dax://, http:// or paceline://",
            )
        ]
    findings = [ok("TLS", f"{version} with {suite[0] if suite else 'no suite'}")]
    if isinstance(expires, str):
        findings.append(of_expiry(ssl.cert_time_to_seconds(expires) - wall_time()))
    return findings


def _untrusted(target: Target, error: ssl.SSLCertVerificationError) -> Finding:
    said = f"the certificate of {target.address} is not trusted: {error.verify_message}"
    if error.verify_code in _OTHER_NAME:
        advice = f"use a name that the certificate has, or make one for {target.host}"
    elif error.verify_code == _EXPIRED:
        advice = "renew the certificate"
    elif error.verify_code == _NOT_YET:
        advice = "look at this machine's clock"
    elif error.verify_code in _SELF_SIGNED:
        advice = (
            f"name the authority's certificate (PEM) with --ca or {BUNDLE_VARIABLE}; 'paceline up"
            " --tls' prints where its own is"
        )
    else:
        advice = "look at the certificate with 'openssl s_client -connect'"
    return problem("certificate", said, advice)


def speaks_tls(target: Target, address: str) -> bool:
    """Whether a port that was taken for one without TLS has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address, target.port), CONNECT_S) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except (OSError, ValueError):
        return False


def check_ca(ca: str | None) -> None:
    """ConfigError for a file that is no certificate, before anything is examined."""
    if ca is None:
        return
    try:
        ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"{ca} cannot be used as authorities to trust: {error}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_S:.0f} s"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS").lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__

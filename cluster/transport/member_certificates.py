"""Certificates with which the nodes of a cluster know each other.

Every node derives the same authority from the cluster's secret, and signs a certificate for
itself whose only name is its id. So the secret never travels: whoever does not have it has no
certificate that the others accept, and a node is believed to be the one that its certificate
names. The authority's key is derived anew each time that it signs, and is in no file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID as _Purpose
from cryptography.x509.oid import NameOID

from paceline.clock import wall_time
from paceline.errors import ConfigError

SECRET_CHARACTERS_MIN = 43
"""Those of 32 random bytes in base64; in hexadecimal they are 64."""

DISTINCT_MIN = 10
"""Characters that differ. Random bytes, in any spelling, have more; ``aaaa…`` has one."""

LIFE = timedelta(days=30)
RENEW = timedelta(days=10)
"""So long before its end a certificate is made anew, without a restart."""

SKEW = timedelta(days=1)
"""A certificate is valid from so long before it was made: clocks of nodes differ."""

_CURVE = ec.SECP256R1()
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256 (SEC 2, section 2.4.2): private keys are less."""

_INFO = b"paceline: authority of the members of a cluster, 1"


def check_secret(secret: str) -> None:
    """ConfigError, without the secret in it, for one that could be guessed."""
    if len(secret) < SECRET_CHARACTERS_MIN or len(set(secret)) < DISTINCT_MIN:
        raise ConfigError(
            "the cluster's secret (PACELINE_SECRET) has to be at least 32 random bytes: "
            "make one with `openssl rand -base64 32`, and give it to every node"
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """In PEM. ``authority``: what certificates of other members are checked with."""

    key: bytes
    chain: bytes
    authority: bytes
    not_after: datetime


def sign(secret: str, cluster: str, node_id: str, now: datetime) -> Pair:
    """A fresh key and its certificate for this node."""
    authority_key = _authority_key(secret, cluster)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Paceline members")])
    until = now + LIFE
    authority = (
        _builder(subject, subject, authority_key.public_key(), now - SKEW, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(_CURVE)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node_id[:64])])
    certificate = (
        _builder(name, subject, key.public_key(), now - SKEW, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node_id)]), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([_Purpose.SERVER_AUTH, _Purpose.CLIENT_AUTH]),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    return Pair(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
        authority.public_bytes(serialization.Encoding.PEM),
        until,
    )


class MemberCertificate:
    """This node's certificate, made anew in time. Both sides of each connection show theirs."""

    def __init__(
        self, secret: str, cluster: str, node_id: str, clock: Callable[[], float] = wall_time
    ) -> None:
        """ConfigError for a secret that could be guessed, or an id that no certificate can have."""
        check_secret(secret)
        self._secret = secret
        self._cluster = cluster
        self._node_id = node_id
        self._clock = clock
        try:
            self._pair = self._sign()
        except ValueError as error:
            raise ConfigError(f"no certificate can have the name {node_id!r}: {error}") from error

    @property
    def pair(self) -> Pair:
        """The current one."""
        if self._now() >= self._pair.not_after - RENEW:
            self._pair = self._sign()
        return self._pair

    def server_credentials(self) -> grpc.ServerCredentials:
        """Clients without a certificate of this cluster do not get past the handshake."""
        served = [self.pair]

        def fetch() -> Any:
            """Called for every handshake, on gRPC's own threads; None: as before."""
            pair = self.pair
            if pair is served[0]:
                return None
            served[0] = pair
            return _configuration(pair)

        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            _configuration(served[0]), fetch, require_client_authentication=True
        )
        return credentials

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a channel that is opened now."""
        pair = self.pair
        credentials: grpc.ChannelCredentials = grpc.ssl_channel_credentials(
            pair.authority, pair.key, pair.chain
        )
        return credentials

    def _sign(self) -> Pair:
        return sign(self._secret, self._cluster, self._node_id, self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def channel_options(node_id: str) -> list[tuple[str, Any]]:
    """The server has to be this node, whatever its address is."""
    return [("grpc.ssl_target_name_override", node_id)]


def peer_name(auth_context: dict[str, list[bytes]]) -> str | None:
    """The id of the node at the other end, as its certificate has it; of a servicer's context."""
    names = auth_context.get("x509_subject_alternative_name", [])
    return names[0].decode("utf-8", "replace") if len(names) == 1 else None


def _configuration(pair: Pair) -> Any:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], pair.authority)


def _authority_key(secret: str, cluster: str) -> ec.EllipticCurvePrivateKey:
    """Of 384 bits of the secret's, so that what is left modulo the order is as good as uniform."""
    derived = HKDF(hashes.SHA256(), 48, salt=cluster.encode(), info=_INFO).derive(secret.encode())
    return ec.derive_private_key(1 + int.from_bytes(derived, "big") % (_ORDER - 1), _CURVE)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begin: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )

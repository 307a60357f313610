"""Certificates with which the programs of a cluster know each other.

Every program derives the same authority from the cluster's secret, and signs a certificate for
itself: a node one that names its id and says that it is a node's, a discovery process one that says
so. So the secret never travels: whoever does not have it has no certificate that the others accept,
and a node is believed to be the one that its certificate names. The authority's key is derived anew
each time that it signs, and is in no file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import structlog
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

OVERDUE = timedelta(days=9)
"""With less than this left a renewal has failed for a day."""

CHECK_S = 600.0
"""The interval at which a renewal is made, or missed, without anybody who asks."""

ANY_NODE = "member"
"""The name that all nodes have besides their ids, by which they are called by those who do not know
which node is at an address."""

DISCOVERY = "discovery"
"""The only name of discovery processes."""

_log = structlog.get_logger()

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


def sign(secret: str, cluster: str, names: Sequence[str], now: datetime) -> Pair:
    """A fresh key and its certificate with these names."""
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
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        _builder(name, subject, key.public_key(), now - SKEW, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
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
    """This program's certificate, made anew in time. Both sides of each connection show theirs."""

    def __init__(
        self, secret: str, cluster: str, node_id: str, clock: Callable[[], float] = wall_time
    ) -> None:
        """ConfigError for a secret that could be guessed, or an id that no certificate can have."""
        check_node_id(node_id)
        self._begin(secret, cluster, (node_id, ANY_NODE), clock)

    @classmethod
    def of_discovery(
        cls, secret: str, cluster: str, clock: Callable[[], float] = wall_time
    ) -> MemberCertificate:
        made = cls.__new__(cls)
        made._begin(secret, cluster, (DISCOVERY,), clock)
        return made

    def _begin(
        self, secret: str, cluster: str, names: tuple[str, ...], clock: Callable[[], float]
    ) -> None:
        check_secret(secret)
        self._secret = secret
        self._cluster = cluster
        self._names = names
        self._clock = clock
        try:
            self._pair = self._sign()
        except ValueError as error:
            raise ConfigError(f"no certificate can have the name {names[0]!r}: {error}") from error

    @property
    def pair(self) -> Pair:
        """The current one."""
        if self._now() >= self._pair.not_after - RENEW:
            try:
                self._pair = self._sign()
            except Exception as error:  # the old one is good for days; ``check`` tells
                self.problem = str(error) or type(error).__name__
            else:
                self.problem = None
        return self._pair

    problem: str | None = None
    """Why the certificate could not be made anew."""

    async def watch(self) -> None:
        """Makes it anew when nobody asks for it, and warns if that fails; ends by cancellation."""
        while True:
            self.check()
            await asyncio.sleep(CHECK_S)

    def check(self) -> None:
        left = self.pair.not_after - self._now()
        if left <= OVERDUE:
            _log.warning(
                "this program's certificate for its cluster should have been made anew long ago",
                expires_in_s=round(left.total_seconds()),
                reason=self.problem,
            )

    def as_dict(self) -> dict[str, Any]:
        return {"not_after": self.pair.not_after.isoformat(), "problem": self.problem}

    def gauges(self) -> list[tuple[str, str, Callable[[], float]]]:
        """(name, help, value) for ``/metrics``, without the project's prefix."""
        return [
            (
                "member_certificate_expires_in_seconds",
                "Until the certificate that this program shows other members expires",
                lambda: (self.pair.not_after - self._now()) / timedelta(seconds=1),
            )
        ]

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
        return sign(self._secret, self._cluster, self._names, self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def channel_options(node_id: str) -> list[tuple[str, Any]]:
    """The server has to be this node, whatever its address is."""
    return [("grpc.ssl_target_name_override", node_id)]


def peer_name(auth_context: Mapping[str, Sequence[bytes]]) -> str | None:
    """The id of the node at the other end, as its certificate has it; of a servicer's context.
    None: it is no node."""
    names = _names(auth_context)
    ids = [name for name in names if name != ANY_NODE]
    return ids[0] if len(ids) == 1 and len(names) == 2 else None


def is_discovery(auth_context: Mapping[str, Sequence[bytes]]) -> bool:
    return _names(auth_context) == [DISCOVERY]


def check_node_id(node_id: str) -> None:
    """ConfigError for an id that certificates would not tell from something else."""
    # Names in certificates are compared as those of hosts, so without case, and with wildcards.
    if node_id.lower() in (ANY_NODE, DISCOVERY) or "*" in node_id:
        raise ConfigError(
            f"no node can have the id {node_id!r} (PACELINE_NODE_ID): {ANY_NODE!r} and "
            f"{DISCOVERY!r} have a meaning of their own, and '*' stands for others; choose another"
        )


def _names(auth_context: Mapping[str, Sequence[bytes]]) -> list[str]:
    names = auth_context.get("x509_subject_alternative_name", [])
    return [name.decode("utf-8", "replace") for name in names]


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

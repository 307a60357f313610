"""Certificates for a cluster on one machine: an authority of its own, and one for loopback."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from paceline.clock import wall_time
from paceline.errors import ConfigError

SUBJECT = "Paceline, this machine"
NAMES = ("localhost", "127.0.0.1", "::1")
AUTHORITY_DAYS = 3650
DAYS = 397
"""The certificate's life, in days: the most that clients accept of public authorities, and some of
all."""
RENEW_DAYS = 30
CLOCKS_DIFFER = timedelta(minutes=5)

_MISSING = (
    "certificates are made with the package cryptography, which paceline-server brings along: "
    "install that, or name a certificate with --tls-cert and --tls-key"
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. ``ca``: what clients are to trust; None when that is not ours to know."""

    cert: Path
    key: Path
    ca: Path | None = None


def given(cert: Path, key: Path | None) -> TlsFiles:
    """Returns somebody else's certificate; ConfigError if a file is not there."""
    for file in (cert, key or cert):
        if not file.is_file():
            raise ConfigError(f"{file} is no file: name a certificate in PEM, and its key")
    return TlsFiles(cert.absolute(), (key or cert).absolute())


def development_files(directory: Path, names: Sequence[str] = NAMES) -> TlsFiles:
    """Those in ``directory``, made if they are not there, renewed before they expire.

    The authority stays the same as long as its files do, so that clients can go on trusting it.
    Of all host names it may vouch for those in ``names`` only (name constraints): whoever gets hold
    of its key cannot pass for a web site with those who trust it. For other names there has to be
    another authority.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    files = TlsFiles(directory / "cert.pem", directory / "key.pem", ca)
    hosts = [name for name in names if not _is_address(name)]
    authority = None
    if ca.exists() and ca_key.exists():
        authority = Authority.load(ca.read_bytes(), ca_key.read_bytes())
    if authority is None or authority.hosts != set(hosts):
        authority = Authority.new(hosts=hosts)
        _write(ca_key, authority.key_pem)
        _write(ca, authority.pem, mode=0o644)
        files.cert.unlink(missing_ok=True)
    if not files.key.exists() or not _is_good(files.cert, names):
        certificate, key = authority.issue(names)
        _write(files.key, key)
        _write(files.cert, certificate, mode=0o644)
    return files


class Authority:
    """Signs certificates for names of this machine, or for ``hosts``."""

    def __init__(self, certificate: Any, key: Any) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def new(
        cls, name: str = "Paceline development authority", hosts: Sequence[str] = ("localhost",)
    ) -> Self:
        x509, hashes, _, ec = _library()
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        # Not of addresses, too: gRPC's TLS library refuses certificates under those.
        permitted = [x509.DNSName(host) for host in hosts]
        builder = (
            _builder(x509, subject, subject, key, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(x509, signs_certificates=True), critical=True)
            .add_extension(x509.NameConstraints(permitted, None), critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> Self:
        x509, _, serialization, _ = _library()
        try:
            return cls(
                x509.load_pem_x509_certificate(certificate_pem),
                serialization.load_pem_private_key(key_pem, None),
            )
        except ValueError as error:
            raise ConfigError(
                f"the authority's certificate or key cannot be read ({error}): remove the "
                "directory tls of the data directory, and new ones are made"
            ) from error

    @property
    def hosts(self) -> set[str]:
        """The only names of hosts that it may vouch for; empty: any."""
        x509, _, _, _ = _library()
        try:
            found = self._certificate.extensions.get_extension_for_class(x509.NameConstraints)
        except x509.ExtensionNotFound:
            return set()
        return {name.value for name in found.value.permitted_subtrees or ()}

    @property
    def pem(self) -> bytes:
        _, _, serialization, _ = _library()
        pem: bytes = self._certificate.public_bytes(serialization.Encoding.PEM)
        return pem

    @property
    def key_pem(self) -> bytes:
        return _key_pem(self._key)

    def issue(self, names: Sequence[str], days: int = DAYS) -> tuple[bytes, bytes]:
        """Returns (certificate, key) in PEM. ``names``: host names and addresses."""
        x509, hashes, _, ec = _library()
        key = ec.generate_private_key(ec.SECP256R1())
        # No name of a host: libraries would hold it against the constraints.
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SUBJECT)])
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(x509, subject, self._certificate.subject, key, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(x509, signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
            )
            .add_extension(
                x509.SubjectAlternativeName([_general_name(x509, name) for name in names]),
                critical=False,
            )
            .add_extension(authority_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _, _, serialization, _ = _library()
        return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def _library() -> tuple[Any, Any, Any, Any]:
    """Imports cryptography here, since applications install this package without it."""
    try:
        from cryptography import x509  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(_MISSING) from error
    return x509, hashes, serialization, ec


def _builder(x509: Any, subject: Any, issuer: Any, key: Any, days: int) -> Any:
    now = datetime.fromtimestamp(wall_time(), UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(x509: Any, *, signs_certificates: bool) -> Any:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _general_name(x509: Any, name: str) -> Any:
    return x509.IPAddress(ip_address(name)) if _is_address(name) else x509.DNSName(name)


def _key_pem(key: Any) -> bytes:
    _, _, serialization, _ = _library()
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem


def _is_good(file: Path, names: Sequence[str]) -> bool:
    """Whether it is a certificate for ``names``, and not about to expire."""
    x509, _, _, _ = _library()
    try:
        found = x509.load_pem_x509_certificate(file.read_bytes())
        named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    left: timedelta = found.not_valid_after_utc - datetime.fromtimestamp(wall_time(), UTC)
    wanted = {_general_name(x509, name) for name in names}
    return left >= timedelta(days=RENEW_DAYS) and set(named) == wanted


def _write(file: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Writes the file in one step; nobody else can read it from its first byte on."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    temporary.replace(file)

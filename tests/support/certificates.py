"""Certificates for tests: an authority of one's own, and what it signs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paceline_local.certificates import Authority

__all__ = ["Authority", "ClientAuthority", "write_pair"]


def write_pair(directory: Path, authority: Authority, *names: str) -> tuple[Path, Path]:
    """(certificate, key) for ``names``, in files that are made or replaced."""
    certificate, key = authority.issue(names or ("localhost", "127.0.0.1", "::1"))
    files = directory / "cert.pem", directory / "key.pem"
    for file, content in zip(files, (certificate, key), strict=True):
        temporary = file.with_suffix(".new")
        temporary.write_bytes(content)
        temporary.replace(file)
    return files


class ClientAuthority:
    """Signs certificates for clients, hostile ones too."""

    def __init__(self, name: str = "Clients") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = (
            self._builder(self._subject, self.key, timedelta(days=1))
            .add_extension(basic, critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        directory: Path,
        name: str,
        *,
        sans: Sequence[x509.GeneralName] = (),
        lasts: timedelta = timedelta(hours=1),
        usage: x509.ObjectIdentifier = x509.ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> tuple[Path, Path]:
        """(certificate, key) with the common name ``name``."""
        directory.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, lasts).add_extension(
            x509.ExtendedKeyUsage([usage]), critical=False
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        files = directory / "client.pem", directory / "client.key"
        signed = builder.sign(self.key, hashes.SHA256())
        files[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, lasts: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + lasts)
        )

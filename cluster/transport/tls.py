"""Keeps the certificate of TLS listeners, which is read again whenever its files change."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
import structlog
from cryptography import x509

from cluster.settings import TlsSettings
from paceline.clock import wall_time
from paceline.errors import ConfigError

CHECK_S = 2.0
"""The interval at which the files are checked, by two ``stat`` calls."""
FILE_BYTES_MAX = 1024 * 1024
"""A chain has some kilobytes; anything bigger is some other file."""

SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: with forward secrecy and authenticated encryption, as all of TLS 1.3 are. gRPC's own
choice is the same."""

Signature = tuple[tuple[int, int, int], ...]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Pair:
    """A certificate and key as read. ``signature``: of the files, taken before they were read."""

    signature: Signature
    chain: bytes
    key: bytes
    subject: str
    not_after: datetime
    client_ca: bytes | None
    contexts: Mapping[tuple[str, ...], ssl.SSLContext]


class ServerCertificate:
    """A certificate chain and its key, current as the files are.

    A connection gets the pair that is current when its handshake begins. Files that cannot be
    used, or do not belong together (they are seldom replaced in one step), leave the pair before
    them in place, and are tried again when they change once more.
    """

    def __init__(
        self, cert_file: Path, key_file: Path | None = None, client_ca_file: Path | None = None
    ) -> None:
        """``key_file`` None: the key is in ``cert_file``, too. ``client_ca_file``: clients are
        asked for a certificate of these authorities. ConfigError."""
        self._client_ca_file = client_ca_file
        self._cert_file = cert_file
        self._key_file = key_file or cert_file
        self._alpn: list[tuple[str, ...]] = []
        self._tried = self._signature()
        self.problem: str | None = None
        """Why the files as they are now are not in use."""
        try:
            self._pair = self._read()
        except (OSError, ValueError) as error:
            clients = f" and clients' authorities in {client_ca_file}" if client_ca_file else ""
            raise ConfigError(
                f"PACELINE_TLS__CERT_FILE = {cert_file} with the key in {self._key_file}{clients}: "
                f"{_reason(error)}; all must be PEM, the key without a passphrase"
            ) from error
        self._tell_expired()

    @classmethod
    def of(
        cls, settings: TlsSettings, client_ca_file: Path | None = None
    ) -> ServerCertificate | None:
        if settings.cert_file is None:
            if settings.key_file is not None:
                raise ConfigError("PACELINE_TLS__KEY_FILE needs PACELINE_TLS__CERT_FILE")
            if client_ca_file is not None:
                raise ConfigError(
                    "PACELINE_ACCESS__CLIENT_CA_FILE needs PACELINE_TLS__CERT_FILE: certificates "
                    "of clients are taken at ports with TLS alone"
                )
            return None
        return cls(settings.cert_file, settings.key_file, client_ca_file)

    @property
    def not_after(self) -> datetime:
        return self._pair.not_after

    def context(self, *alpn: str) -> ssl.SSLContext:
        """The context for listeners. ``alpn``: protocols offered to clients that name any."""
        if alpn not in self._alpn:
            self._alpn.append(alpn)
            self._pair = self._read()
        context = self._new_context(alpn)

        def use_current(connection: Any, name: str | None, context: ssl.SSLContext) -> None:
            # Called for every handshake, also of clients that name no host.
            connection.context = self._pair.contexts[alpn]

        context.sni_callback = use_current
        return context

    def grpc_credentials(self, *, demands_certificates: bool = False) -> grpc.ServerCredentials:
        """``demands_certificates``: who shows none of the clients' authorities is not let in."""
        served: list[_Pair] = [self._pair]

        def fetch() -> Any:
            """Called for every handshake, on gRPC's own threads; None: as before."""
            pair = self._pair
            if pair is served[0]:
                return None
            served[0] = pair
            return _grpc_configuration(pair, demands_certificates)

        credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            _grpc_configuration(self._pair, demands_certificates), fetch, demands_certificates
        )
        return credentials

    async def watch(self) -> None:
        """Checks the files for ever; ends by cancellation."""
        while True:
            await asyncio.sleep(CHECK_S)
            self.check()

    def check(self) -> None:
        """Loads files that changed since the last check."""
        signature = self._signature()
        if signature == self._tried:
            return
        self._tried = signature
        try:
            self._pair = self._read()
        except (OSError, ValueError) as error:
            self.problem = _reason(error)
            _log.error(
                "the new certificate cannot be used, the old one stays",
                file=str(self._cert_file),
                reason=self.problem,
                old_not_after=self.not_after.isoformat(),
            )
            return
        self.problem = None
        _log.info(
            "a new certificate is in use",
            subject=self._pair.subject,
            not_after=self.not_after.isoformat(),
        )
        self._tell_expired()

    def as_dict(self) -> dict[str, Any]:
        return {
            "subject": self._pair.subject,
            "not_after": self.not_after.isoformat(),
            "problem": self.problem,
        }

    def gauges(self) -> list[tuple[str, str, Callable[[], float]]]:
        """(name, help, value) for ``/metrics``, without the project's prefix."""
        return [
            (
                "tls_certificate_not_after_timestamp_seconds",
                "When the certificate that listeners show expires",
                lambda: float(self.not_after.timestamp()),
            ),
            (
                "tls_certificate_refused",
                "1 while the certificate files cannot be used and the one before them is shown",
                lambda: float(self.problem is not None),
            ),
        ]

    def _tell_expired(self) -> None:
        if self.not_after.timestamp() <= wall_time():
            _log.warning("the certificate has expired", not_after=self.not_after.isoformat())

    def _signature(self) -> Signature:
        """A value that differs once a file was written, replaced or pointed elsewhere; () without a
        file."""
        try:
            clients = [self._client_ca_file] if self._client_ca_file else []
            stats = [file.stat() for file in (self._cert_file, self._key_file, *clients)]
        except OSError:
            return ()
        return tuple((found.st_mtime_ns, found.st_size, found.st_ino) for found in stats)

    def _read(self) -> _Pair:
        """Reads the pair. Raises OSError (ssl's own errors are some) or ValueError."""
        signature = self._signature()
        chain, key = _bytes_of(self._cert_file), _bytes_of(self._key_file)
        certificates = x509.load_pem_x509_certificates(chain)
        client_ca = None if self._client_ca_file is None else _bytes_of(self._client_ca_file)
        if client_ca is not None:
            x509.load_pem_x509_certificates(client_ca)
        # The TLS library reads the files itself, since it takes no bytes.
        contexts = {alpn: self._new_context(alpn) for alpn in [(), *self._alpn]}
        if self._signature() != signature:
            raise ValueError("the files are being replaced")
        return _Pair(
            signature,
            chain,
            key,
            certificates[0].subject.rfc4514_string(),
            certificates[0].not_valid_after_utc,
            client_ca,
            contexts,
        )

    def _new_context(self, alpn: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(SUITES)
        if alpn:
            context.set_alpn_protocols(alpn)
        context.load_cert_chain(self._cert_file, self._key_file, password=_no_passphrase)
        if self._client_ca_file is not None:
            context.load_verify_locations(self._client_ca_file)
            # One that is shown and is not good ends the handshake.
            context.verify_mode = ssl.CERT_OPTIONAL
            # A session that is taken up again brings its certificate without a look at its dates
            # and its authority.
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        return context


def require_certificate(settings: TlsSettings, listeners: Sequence[str]) -> None:
    """ConfigError if listeners (or settings) that want TLS are named and there is none to show."""
    if listeners and settings.cert_file is None:
        raise ConfigError(
            f"{', '.join(listeners)}: TLS needs a certificate: set PACELINE_TLS__CERT_FILE and "
            "PACELINE_TLS__KEY_FILE"
        )


def shown_by_client(transport: Any) -> bytes | None:
    """The certificate that the client of a connection has shown, and the handshake verified, as
    DER; None without one, or without TLS. One of a session that was taken up again was not verified
    here: it counts for nothing."""
    found = transport.get_extra_info("ssl_object")
    if found is None or found.session_reused:
        return None
    shown: bytes | None = found.getpeercert(binary_form=True)
    return shown


def _grpc_configuration(pair: _Pair, demands_certificates: bool) -> Any:
    ca = pair.client_ca if demands_certificates else None
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], ca)


def _no_passphrase() -> bytes:
    # Without this OpenSSL would ask for one on the terminal.
    raise ValueError("the key is encrypted with a passphrase")


def _bytes_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        data = stream.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise ValueError(f"{file} is larger than a certificate or key can be")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        return f"not a certificate with its key ({error.reason or error})"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error) or type(error).__name__

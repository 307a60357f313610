"""TLS of a client's connections: which authorities it trusts, and for which name."""

import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from paceline.client.core.seeds import Seed
from paceline.errors import ConfigError

BUNDLE_VARIABLE: Final = "AWS_CA_BUNDLE"
"""As for boto3."""
HANDSHAKE_S: Final = 1.0
"""On top of what a connection without TLS is given: two round trips more, and a signature, for
which many clients may queue after a failover."""
GOODBYE_S: Final = 1.0
BROKEN_OFF: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "UNEXPECTED_EOF_WHILE_READING"}
)


@dataclass(frozen=True, slots=True)
class Tls:
    """One for all connections of a client.

    ``name``: what nodes' certificates must be for. Connections go to addresses out of a roster,
    which no certificate need be for. ``roots``: PEM, for gRPC; None: its own. ``grpc``: whether
    gRPC can connect so; it cannot leave out checks.
    """

    context: ssl.SSLContext
    name: str
    roots: bytes | None = None
    grpc: bool = True

    def wrap(self, connection: Any) -> ssl.SSLSocket:
        """The handshake, within the socket's timeout. OSError; the socket is closed then."""
        try:
            return self.context.wrap_socket(connection, server_hostname=self.name)
        except BaseException:
            connection.close()
            raise


def of_asyncio(tls: Tls | None, name: str | None = None) -> dict[str, Any]:
    """Arguments of ``create_connection``; ``name`` None: a node's."""
    if tls is None:
        return {}
    return {
        "ssl": tls.context,
        "server_hostname": name or tls.name,
        "ssl_shutdown_timeout": GOODBYE_S,
    }


def make_tls(
    seeds: Sequence[Seed],
    verify: bool | str | os.PathLike[str] | None = None,
    ca_bundle: str | os.PathLike[str] | None = None,
    skip_hostname_verification: bool | None = None,
    environment: Mapping[str, str] | None = None,
) -> Tls | None:
    """None if the endpoints do not use TLS. ``verify`` as boto3's: False checks nothing, a path
    names the authorities to trust. ConfigError."""
    if not seeds[0].tls:
        return None
    environment = os.environ if environment is None else environment
    checked = verify is not False
    bundle = verify if isinstance(verify, str | os.PathLike) else ca_bundle
    path = Path(bundle or environment.get(BUNDLE_VARIABLE, "")) if checked else Path()
    grpc = checked and not skip_hostname_verification and not (path.is_dir() and path != Path())
    if not grpc:
        wants = next((seed for seed in seeds if seed.kind == "grpc"), None)
        if wants is not None:
            raise ConfigError(
                f"{wants}: gRPC cannot leave out checks, and takes authorities from a file only: "
                "use daxs://, or name a file with verify="
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not checked or skip_hostname_verification:
        context.check_hostname = False
    if not checked:
        context.verify_mode = ssl.CERT_NONE
        return Tls(context, seeds[0].host, grpc=False)
    return Tls(context, seeds[0].host, _trust(context, path), grpc)


def _trust(context: ssl.SSLContext, path: Path) -> bytes | None:
    """Fills in the authorities at ``path``, or the system's; those of a file as PEM."""
    if path == Path():
        context.load_default_certs()
        system = ssl.get_default_verify_paths().cafile  # None if there is no such file
        return Path(system).read_bytes() if system else None
    try:
        if path.is_dir():
            context.load_verify_locations(capath=path)
            return None
        context.load_verify_locations(cafile=path)
        return path.read_bytes()
    except OSError as error:  # ssl's own errors are some
        raise ConfigError(
            f"{path} cannot be used as authorities to trust ({error.strerror or error}): name a "
            f"file in PEM with verify= or {BUNDLE_VARIABLE}"
        ) from error


def reason(error: BaseException, tls: Tls | None) -> str:
    """Why a connection failed, with what to do about it where TLS is why; '' if it does not say."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not to be trusted, {error.verify_message}: verify= or "
            f"{BUNDLE_VARIABLE} name the authority, and the endpoint the name that it is for"
        )
    if tls is not None and _is_broken_off(error):
        return "it ended the handshake, as ports without TLS do: those are for dax://"
    return str(error)


def _is_broken_off(error: BaseException) -> bool:
    if isinstance(error, ssl.SSLError):
        return error.reason in BROKEN_OFF
    # asyncio has its own words, or none, for an end during a handshake.
    return isinstance(error, ConnectionError) and error.errno is None

"""The files that a cluster's containers share, made at the first start by one of them.

They are in three directories, each a volume of its own. Programs have the cluster's secret, the key
that seals principals, the principals that everybody begins with, and a certificate with its key.
The authority, whose key signs that certificate, is for who makes these files alone. Clients have
an access key, as AWS's tools read it and as a shell does, and the authority's certificate. Who
scrapes metrics has a token in a fourth, with which nodes let read and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from paceline.errors import ConfigError
from paceline_local.certificates import development_files
from paceline_local.cli.parts import FULL_ACCESS, FULL_ACCESS_POLICY

SECRET_BYTES = 32
_READ_TEXT = b"paceline admin, reading, v1"
"""Nodes make their token for reading of it (``cluster.service.admin_token``)."""
PRINCIPAL = "compose"
"""The principal that may do everything."""
KEY_ID_PREFIX = "PLAK"
_KEY_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True, slots=True)
class Directories:
    programs: Path
    authority: Path
    clients: Path
    monitoring: Path | None = None


def prepare(directories: Directories, names: Sequence[str], region: str) -> None:
    """Makes what is not there, and a new certificate in the month before the old one expires.

    ``names``: hosts and addresses by which clients call the programs. ``region``: the one that
    clients sign for. ConfigError for a directory that cannot be written.
    """
    programs, clients = directories.programs, directories.clients
    for name in ("cluster-secret", "principals-key"):
        create_once(programs / name, f"{secrets.token_urlsafe(SECRET_BYTES)}\n")
    create_once(programs / "principals.yaml", _new_principals())
    try:
        tls = development_files(directories.authority, names)
        # The key first: a program that looks in between sees a pair that does not fit, and waits.
        _replace(programs / "key.pem", tls.key.read_bytes(), 0o400)
        _replace(programs / "cert.pem", tls.cert.read_bytes(), 0o444)
        assert tls.ca is not None, "an authority of ours"
        clients.mkdir(parents=True, exist_ok=True)
        _replace(clients / "ca.pem", tls.ca.read_bytes(), 0o444)
        key = _access_key(programs / "principals.yaml")
        # Whoever mounts this volume is meant to have them, whatever user its image has.
        _replace(clients / "credentials", _profile(key).encode(), 0o444)
        _replace(clients / "env", _exports(key, region).encode(), 0o444)
        if directories.monitoring is not None:
            directories.monitoring.mkdir(parents=True, exist_ok=True)
            secret = (programs / "cluster-secret").read_text().strip()
            token = hmac.new(secret.encode(), _READ_TEXT, hashlib.sha256).hexdigest()
            _replace(directories.monitoring / "read-token", f"{token}\n".encode(), 0o444)
    except OSError as error:
        raise _cannot_write(Path(error.filename or programs), error) from error


def create_once(file: Path, text: str) -> bool:
    """Whether ``file`` was made; an existing one is kept.

    It appears under its name complete or not at all, readable by its owner only.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            return False
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".secret-")
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o400)
            # A link fails where a rename would replace the secret of somebody who was faster.
            os.link(temporary, file)
        except FileExistsError:
            return False
        finally:
            Path(temporary).unlink()
    except OSError as error:
        raise _cannot_write(file, error) from error
    return True


def _cannot_write(file: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot write {file}: {error.strerror or error}; the volume must be writable for user id "
        f"{os.getuid()}"
    )


def _replace(file: Path, content: bytes, mode: int) -> None:
    """Gives the file this content in one step; one that has it already is left alone."""
    if file.exists() and file.read_bytes() == content:
        return
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    Path(temporary).replace(file)


def _new_principals() -> str:
    """As JSON, which is YAML: it is read again for the key."""
    key = {
        "id": KEY_ID_PREFIX + "".join(secrets.choice(_KEY_ID_LETTERS) for _ in range(16)),
        "secret": secrets.token_urlsafe(30),
    }
    owner = {"name": PRINCIPAL, "keys": [key], "policies": {FULL_ACCESS: FULL_ACCESS_POLICY}}
    return json.dumps({"principals": [owner]}, indent=2) + "\n"


def _access_key(principals: Path) -> tuple[str, str]:
    """The id and the secret of the first one in the file."""
    try:
        key = json.loads(principals.read_text())["principals"][0]["keys"][0]
        return str(key["id"]), str(key["secret"])
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{principals} is not as it was made; remove it, and it is made anew"
        ) from (error)


def _profile(key: tuple[str, str]) -> str:
    return f"[default]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n"


def _exports(key: tuple[str, str], region: str) -> str:
    """For ``eval``. A session's token of another key would be sent along, and refused."""
    return (
        f"export AWS_ACCESS_KEY_ID={key[0]} AWS_SECRET_ACCESS_KEY={key[1]}\n"
        "unset AWS_SESSION_TOKEN AWS_PROFILE\n"
        f"export AWS_REGION={region} AWS_DEFAULT_REGION={region}\n"
        'export AWS_CA_BUNDLE="$PWD/paceline-ca.pem" NODE_EXTRA_CA_CERTS="$PWD/paceline-ca.pem"\n'
    )

"""What the container image runs: the command line of Paceline, and two commands for containers.

``create-secret FILE`` makes the cluster secret unless it is there; ``dynamodb`` runs the embedded
DynamoDB on an address that other containers reach. Everything else (``node``, ``discovery``,
``status``, ``health``…) goes to ``paceline``. Servers replace this process, so that signals and
exit codes are their own.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from paceline.errors import ConfigError
from paceline_local import embedded

SECRET_BYTES = 32
EXIT_CONFIG = 2
LOOPBACK = ("127.0.0.1", "localhost")


def create_secret(file: Path) -> bool:
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
                stream.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
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
        raise ConfigError(
            f"cannot write the cluster secret to {file}: {error.strerror or error}; the volume "
            f"must be writable for user id {os.getuid()}"
        ) from error
    return True


def dynamodb_command(
    bind: str, data_dir: Path | None, names: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of the embedded DynamoDB at ``host:port``.

    ``names``: by which others call it; requests for other hosts are refused, as are web pages'.
    """
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"--bind {bind!r} is not HOST:PORT")
    if host not in LOOPBACK and os.environ.get("PACELINE_INSECURE", "").lower() != "true":
        raise ConfigError(
            f"--bind {bind} can be reached from other machines, and the embedded DynamoDB asks "
            "nobody who they are: bind 127.0.0.1, or accept the risk in a network of your own "
            "with PACELINE_INSECURE=true"
        )
    argv, environment = embedded.command(int(port), data_dir)
    environment["BIND_HOST"] = host
    if names:
        environment["PACELINE_EMBEDDED_HOSTS"] = " ".join(names)
    return argv, environment


def run_dynamodb(arguments: Sequence[str]) -> NoReturn:
    parser = argparse.ArgumentParser(prog="dynamodb")
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="keep tables here")
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="answer as NAME"
    )
    options = parser.parse_args(arguments)
    argv, environment = dynamodb_command(options.bind, options.data_dir, options.host)
    os.execve(argv[0], argv, environment)


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["create-secret", file]:
            made = create_secret(Path(file))
            sys.stdout.write(f"{file} {'was made' if made else 'is there already'}\n")
            return 0
        case ["dynamodb", *rest]:
            run_dynamodb(rest)
    from paceline_local.cli.main import run  # noqa: PLC0415  the others do without it

    return run(arguments)


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except ConfigError as problem:
        sys.stderr.write(f"paceline: error: {problem}\n")
        raise SystemExit(EXIT_CONFIG) from None

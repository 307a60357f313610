"""What the container image runs: the command line of Paceline, and two commands for containers.

``prepare`` makes the files that the containers of a cluster share, unless they are there;
``dynamodb`` runs the embedded DynamoDB on an address that other containers reach. Everything else
(``node``, ``discovery``, ``status``, ``health``…) goes to ``paceline``. Servers replace this
process, so that signals and exit codes are their own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from paceline.errors import ConfigError
from paceline_local import embedded
from paceline_local.shared_files import Directories, prepare

EXIT_CONFIG = 2
LOOPBACK = ("127.0.0.1", "localhost")


def run_prepare(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="prepare")
    for option in ("--programs", "--authority", "--clients"):
        parser.add_argument(option, type=Path, required=True, metavar="DIR")
    parser.add_argument("--monitoring", type=Path, metavar="DIR")
    parser.add_argument(
        "--name", action="append", default=[], help="a host or address that clients name"
    )
    parser.add_argument("--region", default="us-east-1")
    options = parser.parse_args(arguments)
    directories = Directories(
        options.programs, options.authority, options.clients, options.monitoring
    )
    prepare(directories, options.name, options.region)


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
        case ["prepare", *rest]:
            run_prepare(rest)
            sys.stdout.write("the files that the containers share are there\n")
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

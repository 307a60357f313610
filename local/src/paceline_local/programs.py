"""How the programs of a one-machine cluster are started."""

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from paceline.errors import ConfigError
from paceline_local import embedded

CommandLine = tuple[list[str], dict[str, str]]
"""The arguments, and the whole environment, of a process."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Argument lists of the servers; ``dynamodb`` makes a command from (port, data directory)."""

    node: Sequence[str]
    discovery: Sequence[str]
    dynamodb: Callable[[int, Path | None], CommandLine]
    dynamodb_ready: Callable[[int], bool]
    chaos: Sequence[str] = field(
        # -P: as for the servers.
        default=(sys.executable, "-P", "-m", "paceline_local.chaos")
    )
    """The process that all links go through; it gets two files as arguments."""


def installed_programs() -> Programs:
    """The real programs, from the environment that this interpreter runs in."""
    return Programs(
        node=server_argv("node"),
        discovery=server_argv("discovery"),
        dynamodb=embedded.command,
        dynamodb_ready=embedded.ready,
    )


def server_argv(program: str) -> list[str]:
    """The arguments that start ``node``, ``discovery`` or ``recover``; ConfigError if the servers
    are not installed.

    They are another distribution, which an application does not need; they are found by
    name and never imported here.
    """
    if importlib.util.find_spec("paceline_server") is None:
        raise ConfigError(
            f"the servers are not installed for {sys.executable}: run "
            "'pip install paceline-server' in the same environment"
        )
    # -P: the working directory may hold folders called node or cluster.
    return [sys.executable, "-P", "-m", "paceline_server", program]


def become_server(program: str, arguments: Sequence[str]) -> NoReturn:
    """Replaces this process by a server: signals and exit code are then the server's own."""
    argv = [*server_argv(program), *arguments]
    sys.stdout.flush()
    os.execv(argv[0], argv)


def find_embedded() -> None:
    """Use the embedded DynamoDB that ``make install`` put beside the checkout's environment.

    Without this, a ``paceline`` that is started by its path rather than by make would look in the
    user's data directory only. A home that the user chose, or one that is complete, is kept.
    """
    if os.environ.get(embedded.HOME_VARIABLE) or embedded.installed():
        return
    beside = Path(sys.prefix).parent / ".venv-embedded"
    if (beside / "pyvenv.cfg").is_file():
        os.environ[embedded.HOME_VARIABLE] = str(beside)

"""A DynamoDB that can be killed: roto-aws, which keeps its data on disk at every step.

``python -m tests.chaos.roto`` installs it into ``.tools/roto``, a virtual environment of its own.
The embedded DynamoDB keeps its tables in memory, so it cannot stand for one that is killed.
"""

import contextlib
import http.client
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.embedded import free_port

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".tools" / "roto"
PROGRAM = HOME / "bin" / "roto-server"
REQUIREMENTS = ROOT / "requirements" / "roto.txt"
HOST = "127.0.0.1"
START_S = 20.0
INSTALL_S = 300.0


def installed() -> bool:
    return PROGRAM.is_file()


def why_not_installed() -> str:
    return (
        "roto-aws, the DynamoDB that is killed, is not installed: run "
        f"'{Path(sys.executable).name} -m tests.chaos.roto' (it needs PyPI, once)"
    )


def install() -> None:
    """Does nothing if it is there. CalledProcessError if this platform has no binary of it."""
    if installed():
        return
    subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(HOME)], check=True, timeout=INSTALL_S
    )
    pip = [str(HOME / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [
            *pip,
            "install",
            "--only-binary=:all:",
            "--no-deps",
            "--require-hashes",
            f"--requirement={REQUIREMENTS}",
        ],
        check=True,
        timeout=INSTALL_S,
    )


class Roto:
    """``with Roto(tmp_path) as dynamodb``: its ``endpoint``, and SIGKILL as often as wanted."""

    def __init__(self, directory: Path) -> None:
        if not installed():
            pytest.skip(why_not_installed())
        self._directory = directory
        self.port = free_port()
        self.endpoint = f"http://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Returns when it answers."""
        with (self._directory / "roto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(PROGRAM),
                    f"--host={HOST}",
                    f"--port={self.port}",
                    f"--data-dir={self._directory / 'data'}",
                ],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, f"roto-server ended: {self._process.returncode}"
            assert time.monotonic() < end, f"roto-server does not answer in {START_S:g} s"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=1.0)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/")
                connection.getresponse()
            except (OSError, http.client.HTTPException):
                return False
        return True


if __name__ == "__main__":
    install()

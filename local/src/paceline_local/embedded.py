"""The embedded DynamoDB: installing and starting ministack, a stand-in for AWS on one machine.

It lives in a virtual environment of its own, since it pins botocore; nothing of ours imports it.
It keeps tables in memory and, given a data directory, saves them on a clean stop only.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from paceline import http_hosts
from paceline.errors import ConfigError
from paceline_local.probes import is_embedded_dynamodb

PACKAGE = "ministack"
VERSION = "1.5.33"
"""Pinned: the version that was measured to be exact under concurrent updates and transactions."""

HOME_VARIABLE = "PACELINE_EMBEDDED_HOME"
PARENT_FD_VARIABLE = "PACELINE_PARENT_FD"
HOST = "127.0.0.1"
SERVICES = ("dynamodb", "dynamodbstreams")

VENV_TIMEOUT_S = 120.0
"""Creating an environment copies pip; slow disks need tens of seconds."""
PIP_TIMEOUT_S = 600.0
"""ministack and what it needs are about 20 MB; a slow line still gets them in this time."""
PROBE_TIMEOUT_S = 1.0
ANSWER_BYTES_MAX = 64 * 1024

INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ")
"""The variables that the process inherits. AWS and ministack variables that the user set for other
programs must not change what it does."""

LOCK = Path(__file__).with_name("embedded_requirements.txt")
"""ministack and all that it needs, each by version and hash; written by ``make lock``."""

_MARKER = "paceline-embedded"
_LAUNCHER = Path(__file__).with_name("embedded_main.py")


def home() -> Path:
    """The directory where the embedded DynamoDB is or will be installed."""
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "paceline" / "embedded"


def installed() -> bool:
    """Whether this very version is completely installed."""
    try:
        return (home() / _MARKER).read_text() == _requirement() and _python().exists()
    except OSError:
        return False


def install(log: Callable[[str], None]) -> None:
    """Installs it if it is not there yet; ConfigError says what went wrong and what to do.

    ``log`` gets one line per step. Safe to run several times at once.
    """
    place = home()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(place.with_name(place.name + ".lock")):
            if installed():
                log(f"{_requirement()} is installed in {place}")
                return
            if place.exists() and any(place.iterdir()) and not (place / "pyvenv.cfg").exists():
                raise ConfigError(
                    f"{place} is not empty and not a virtual environment; name another "
                    f"directory with {HOME_VARIABLE}, or empty this one"
                )
            log(f"creating a virtual environment in {place}")
            _run([sys.executable, "-m", "venv", "--clear", str(place)], VENV_TIMEOUT_S)
            log(f"installing {_requirement()}")
            pip = [str(_python()), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
            # What is built from source would be built with whatever an index has that day.
            locked = ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(LOCK)]
            _run([*pip, "install", "--quiet", *locked], PIP_TIMEOUT_S)
            (place / _MARKER).write_text(_requirement())
            log(f"{_requirement()} is installed in {place}")
    except OSError as error:
        raise ConfigError(
            f"the embedded DynamoDB cannot be installed in {place}: {error}; "
            f"name a writable directory with {HOME_VARIABLE}"
        ) from error


def command(
    port: int, data_dir: Path | None, parent_fd: int | None = None
) -> tuple[list[str], dict[str, str]]:
    """Arguments and the whole environment of the process; it binds 127.0.0.1 only.

    ``data_dir``: None keeps everything in memory. ``parent_fd``: read end of a pipe, to be
    inherited (``pass_fds``); when the other end closes, the process saves and stops.
    """
    if not installed():
        raise ConfigError(how_to_install())
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env |= {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "SERVICES": ",".join(SERVICES),
        "LOG_LEVEL": "WARNING",
        # On by default, with listeners of their own on other ports.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It would look for leftovers of its other services in a running Docker.
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        "PERSIST_STATE": "0",
        "PYTHONUNBUFFERED": "1",
    }
    if data_dir is not None:
        env |= {"PERSIST_STATE": "1", "STATE_DIR": str(data_dir.absolute())}
    if parent_fd is not None:
        env[PARENT_FD_VARIABLE] = str(parent_fd)
    # -I: this package's directory must not come before ministack's modules on its path.
    return [str(_python()), "-I", str(_LAUNCHER), http_hosts.__file__], env


def ready(port: int) -> bool:
    """Whether a ministack that serves DynamoDB answers on ``port``; waits at most a second."""
    connection = http.client.HTTPConnection(HOST, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/_ministack/health")
        response = connection.getresponse()
        if response.status != http.client.OK:
            return False
        return is_embedded_dynamodb(response.read(ANSWER_BYTES_MAX))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def how_to_install() -> str:
    return (
        f"the embedded DynamoDB ({_requirement()}) is not installed in {home()}; run "
        "'paceline embedded install' (in a checkout: 'make install'), or name a DynamoDB of "
        "your own with --dynamodb URL"
    )


def _requirement() -> str:
    return f"{PACKAGE}=={VERSION}"


def _python() -> Path:
    return home() / "bin" / "python"


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(argv: list[str], timeout_s: float) -> None:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            text=True,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"'{' '.join(argv)}' did not finish within {timeout_s:.0f} s; check the network "
            "(pip needs PyPI or the index that it is configured for) and run it again"
        ) from None
    if done.returncode != 0:
        raise ConfigError(
            f"'{' '.join(argv)}' failed with exit code {done.returncode}:\n"
            f"{done.stdout.strip()}\n"
            "check the network (pip needs PyPI or the index that it is configured for), that "
            "Python has the venv module (Debian: python3-venv), and run it again"
        )

"""Compiles the load generator, once for each state of its source."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent
ROOT = SOURCE.parents[1]
BUILDS = ROOT / ".paceline" / "load"
FLAGS = ("-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wshadow")
TLS_FLAGS = ("-DWITH_TLS",)
TLS_LIBRARIES = ("-lssl", "-lcrypto")
COMPILE_S = 120.0


class CannotBuild(Exception):
    """Why there is no load generator, and what to do about it."""


def compiler() -> str:
    """The C compiler: ``CC``, or one of the usual names."""
    wanted = os.environ.get("CC")
    for name in [wanted] if wanted else ["cc", "gcc", "clang"]:
        if found := shutil.which(name):
            return found
    raise CannotBuild(
        f"no C compiler was found ({wanted or 'cc, gcc, clang'}): install one "
        "(Debian and Ubuntu: apt install gcc libc6-dev; Fedora: dnf install gcc), or name it in CC"
    )


@functools.cache
def build(directory: Path = BUILDS) -> Path:
    """The program; compiled now if this source was not compiled yet.

    With TLS if OpenSSL's headers are there. CannotBuild if there is no compiler, or it fails.
    """
    cc = compiler()
    sources = sorted(SOURCE.glob("*.c"))
    tls = _compiles(cc, "#include <openssl/ssl.h>\n")
    digest = hashlib.sha256(repr((cc, FLAGS, tls)).encode())
    for path in [*sources, SOURCE / "load.h"]:
        digest.update(path.read_bytes())
    program = directory / f"paceline-load-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    directory.mkdir(parents=True, exist_ok=True)
    # Under a name of its own until it is whole: two may build at once.
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        made = Path(temporary) / "paceline-load"
        done = subprocess.run(
            [
                *(cc, *FLAGS, *(TLS_FLAGS if tls else ()), *map(str, sources), "-o", str(made)),
                *("-lm", *(TLS_LIBRARIES if tls else ())),
            ],
            capture_output=True,
            text=True,
            timeout=COMPILE_S,
            check=False,
        )
        if done.returncode != 0:
            raise CannotBuild(f"{cc} could not compile the load generator:\n{done.stderr}")
        made.rename(program)
    return program


def _compiles(cc: str, text: str) -> bool:
    done = subprocess.run(
        [cc, "-E", "-x", "c", "-"],
        input=text,
        capture_output=True,
        text=True,
        timeout=COMPILE_S,
        check=False,
    )
    return done.returncode == 0

"""``paceline hosts``: lines by which DAX's names lead to clusters here."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from paceline.errors import ConfigError, Unavailable
from paceline_local.cli.apply import Where
from paceline_local.hosts import Reached, lines_for, names_in, reached_of, with_block

FILE_BYTES_MAX = 1024 * 1024


def run(
    given: list[str], to: str | None, write: Path | None, where: Where, *, remove: bool = False
) -> int:
    """``given``: names, URLs, and files in which there are some."""
    if remove and write is None:
        raise ConfigError("--remove is of the file that --write names")
    lines = [] if remove else _lines(given, to, where)
    if write is None:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return 0
    before = _read(write)
    after = with_block(before, lines)
    if after != before:
        _write(write, after)
    changed = "changed" if after != before else "is as it was"
    sys.stdout.write(f"{write} {changed}: {len(lines)} names\n")
    return 0


def _lines(given: list[str], to: str | None, where: Where) -> list[str]:
    names = [name for one in given for name in _names(one)]
    told = [reached_of(one) for one in where.plane().clusters()]
    clusters = [_by_number(one) for one in told if one is not None]
    return lines_for(clusters, names, to)


def _names(one: str) -> list[str]:
    found = names_in(one)
    if not found and Path(one).is_file():
        return names_in(_read(Path(one)))
    if not found:
        raise ConfigError(f"{one[:200]} is no name of DAX's, and no file")
    return found


def _by_number(one: Reached) -> Reached:
    """Files of hosts have numbers alone."""
    return replace(one, address=_number(one.address), nodes=tuple(map(_number, one.nodes)))


def _number(host: str) -> str:
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host.strip("[]")))
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable(f"the address of {host} is not known here: {error}") from error
    return str(found[0][4][0])


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise ConfigError(f"{path} has more than {FILE_BYTES_MAX} bytes")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def _write(path: Path, text: str) -> None:
    """Whole or not at all, but for a file that is mounted (as a container's is): that one cannot be
    exchanged, and is written as it is."""
    real = path.resolve()
    new: Path | None = None
    try:
        with tempfile.NamedTemporaryFile("w", dir=real.parent, delete=False) as file:
            new = Path(file.name)
            file.write(text)
        shutil.copymode(real, new)
        os.replace(new, real)
    except OSError:
        try:
            real.write_text(text)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error}") from error
        finally:
            if new is not None:
                new.unlink(missing_ok=True)

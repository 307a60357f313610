"""``paceline`` commands against a running cluster, and the access keys that they make."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from paceline_local.cli.main import run
from paceline_local.testing import LocalCluster

COMMAND_S = 60.0


@dataclass(frozen=True)
class Key:
    access_key: str
    secret_key: str
    token: str | None = None

    @property
    def arguments(self) -> dict[str, str]:
        return {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}


def run_paceline(
    *words: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line, whatever becomes of it."""
    return subprocess.run(
        [sys.executable, "-m", "paceline_local.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        env=env,
    )


def paceline_here(*words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that runs in this process: dozens of interpreters
    need not start for what a test begins with."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(words)
    return code, out.getvalue(), err.getvalue()


def paceline_command(cluster: LocalCluster, *words: str) -> str:
    """Output of a command against this cluster; an AssertionError with what it said if it fails."""
    code, out, err = paceline_here(*words, "--base-port", str(cluster.plan.ports.base))
    assert code == 0, out + err
    return out


def principal(cluster: LocalCluster, *words: str) -> str:
    return paceline_command(cluster, "principal", *words)


def key_in(told: str) -> Key:
    """The one that ``add`` and ``rotate`` print with ``--output json``."""
    found = json.loads(told)["new_key"]
    return Key(found["access_key_id"], found["secret_access_key"])

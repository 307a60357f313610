"""Programs that profiles get their credentials from: what hangs is ended, with its own children."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.access.upstream import Profile
from cluster.settings import DynamoDBSettings
from node.backend.acting import Who
from node.backend.providers import AwsProvider
from paceline.clock import now

WAIT_S = 20.0
HANGS = """\
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
if sys.argv[2] == "waits":
    child.wait()
"""
"""A program that starts another one, which holds its output; it waits for it, or goes."""
GIVES = """\
import json
print(json.dumps({"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s"}))
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    (tmp_path / "hangs.py").write_text(HANGS)
    (tmp_path / "gives.py").write_text(GIVES)
    python = f"credential_process = {sys.executable} {tmp_path}"
    (tmp_path / "config").write_text(
        "".join(
            f"[profile {how}]\n{python}/hangs.py {tmp_path}/pids {how}\n"
            for how in ("waits", "goes")
        )
        + f"[profile gives]\n{python}/gives.py\n"
        + "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/x\n"
        + "source_profile = waits\nregion = us-east-1\n"
    )
    return tmp_path


def provider() -> AwsProvider:
    """Without STS: what it says of accounts is another matter."""
    return AwsProvider(DynamoDBSettings(endpoint="http://127.0.0.1:1", credentials="dummy"))


async def until(reached: Callable[[], bool], what: str) -> None:
    deadline = now() + WAIT_S
    while not reached():
        assert now() < deadline, what
        await asyncio.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("profile", ["waits", "goes", "role"])
async def test_a_program_that_hangs_leaves_nothing_behind(config: Path, profile: str) -> None:
    fetch = asyncio.ensure_future(provider().fetch(Who("ann", 1, Profile(profile))))
    file = config / "pids"
    await until(lambda: file.exists() and file.read_text().endswith("\n"), "it was started")
    pids = [int(pid) for pid in file.read_text().split()]
    assert len(pids) == 2
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    await until(lambda: not any(runs(pid) for pid in pids), f"{pids} have ended")


async def test_one_that_answers_is_believed(config: Path) -> None:
    found = await provider().fetch(Who("ann", 1, Profile("gives")))
    assert (found.keys.access, found.keys.secret) == ("AKIA", "s")

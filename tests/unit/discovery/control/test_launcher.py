"""What launchers are asked, and what becomes of answers that are none."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from discovery.control import launcher as module
from discovery.control.launcher import CommandLauncher, SocketLauncher, launcher_of
from discovery.control.records import Site
from discovery.control.world import Act, ClusterAct, Listed
from paceline.errors import ConfigError, Unavailable
from tests.support.waiting import until

START = ClusterAct("start", "second", "0" * 16, (("node-1", "a"),), 7)
CLUSTERS = {
    "second": {"id": "1", "ready": True, "host": "h", "port": 1, "tls_port": 0, "seeds": ["s"]}
}
END_S = 10.0


def secret_of(cluster_id: str) -> str:
    return f"secret of {cluster_id}"


def command(body: str) -> CommandLauncher:
    """A program that has the question in ``asked``."""
    code = f"import json, os, sys, time; asked = json.loads(sys.stdin.readline()); {body}"
    return CommandLauncher([sys.executable, "-I", "-S", "-c", code], secret_of)


def answers(told: object) -> str:
    return f"print(json.dumps({told!r}))"


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncIterator[tuple[SocketLauncher, list[bytes], list[bytes]]]:
    """With what it is asked, and what it answers next."""
    asked: list[bytes] = []
    told = [b'{"ok": true}\n']

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(told[-1])
        await writer.drain()
        writer.close()

    path = tmp_path / "launcher.sock"
    server = await asyncio.start_unix_server(serve, path)
    yield SocketLauncher(path, secret_of), asked, told
    server.close()


async def test_the_lines_that_are_sent(
    socket: tuple[SocketLauncher, list[bytes], list[bytes]],
) -> None:
    launcher, asked, told = socket
    await launcher.do(Act("add", "node-4", "b"))
    await launcher.do(Act("restart", "node-1", "", "second"))
    await launcher.do(START)
    await launcher.do(ClusterAct("end", "second", "0" * 16))
    await launcher.check([Act("restart", "node-1"), START])
    start = {
        "verb": "start",
        "cluster": "second",
        "id": "0" * 16,
        "nodes": [["node-1", "a"]],
        "cache_bytes": 7,
        "secret": f"secret of {'0' * 16}",
    }
    restart = {"verb": "restart", "node": "node-1", "zone": ""}
    assert [json.loads(line) for line in asked] == [
        {"verb": "add", "node": "node-4", "zone": "b"},
        {**restart, "cluster": "second"},
        start,
        {"verb": "end", "cluster": "second"},
        {"verb": "check", "acts": [restart, start]},
    ]
    told.append(json.dumps({"ok": True, "clusters": CLUSTERS}).encode() + b"\n")
    assert await launcher.listed() == {"second": Listed("1", Site("h", 1, 0, ("s",)))}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "failed"),
        (b"x\n", "failed"),
        (b"[]\n", "did not say why"),
        (b"{}\n", "did not say why"),
        (b'{"ok": 1}\n', "did not say why"),
        (b'{"error": "no room"}\n', "no room"),
        (b"[" * 60_000 + b"\n", "failed"),
        (b"x" * 200_000, "failed"),
    ],
)
async def test_what_is_no_consent(
    socket: tuple[SocketLauncher, list[bytes], list[bytes]], answer: bytes, why: str
) -> None:
    launcher, _, told = socket
    told.append(answer)
    with pytest.raises(Unavailable, match=why):
        await launcher.do(START)


@pytest.mark.parametrize(
    "clusters",
    [None, [], {"x": {}}, {"x": {"id": "1", "ready": True}}, {"x": 3}],
)
async def test_a_list_that_is_none(
    socket: tuple[SocketLauncher, list[bytes], list[bytes]], clusters: object
) -> None:
    launcher, _, told = socket
    told.append(json.dumps({"ok": True, "clusters": clusters}).encode() + b"\n")
    with pytest.raises(Unavailable, match="cannot be read"):
        await launcher.listed()


async def test_a_command_is_asked_on_its_standard_input(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    launcher = command(
        f"open({str(seen)!r}, 'w').write(json.dumps(asked)); {answers({'ok': True})}"
    )
    await launcher.do(START)
    assert json.loads(seen.read_text())["secret"] == f"secret of {'0' * 16}"
    for body, why in (
        (answers({"error": "no room"}), "no room"),
        ("sys.exit(3)", "ended with 3 and no answer"),
        ("print('x')", "failed"),
        ("print('x' * 200_000)", "failed"),
    ):
        with pytest.raises(Unavailable, match=why):
            await command(body).check([START])
    with pytest.raises(Unavailable, match="failed"):
        await CommandLauncher([str(tmp_path / "none")], secret_of).do(START)


async def test_a_command_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ACT_S", 2.0)
    seen = tmp_path / "pids"
    body = (
        f"child = os.fork(); open({str(seen)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep(600)"
    )
    with pytest.raises(Unavailable, match="within 2 s"):
        await command(body).do(START)
    pids = [int(pid) for pid in seen.read_text().split()]
    assert len(pids) == 2

    def gone() -> bool:
        """Whoever takes in orphans may not have done so yet."""
        for pid in pids:
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z":
                return False
        return True

    if sys.platform == "linux":
        await until(gone, "their end", END_S)


async def test_a_command_tells_of_clusters_once_in_a_while(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    body = f"open({str(seen)!r}, 'a').write('x'); {answers({'ok': True, 'clusters': CLUSTERS})}"
    launcher = command(body)
    assert await launcher.listed() == await launcher.listed()
    assert seen.read_text() == "x"


def test_there_is_one_launcher_or_none() -> None:
    assert launcher_of(None, [], secret_of) is None
    assert isinstance(launcher_of(Path("x"), [], secret_of), SocketLauncher)
    assert isinstance(launcher_of(None, ["x"], secret_of), CommandLauncher)
    with pytest.raises(ConfigError, match="not both"):
        launcher_of(Path("x"), ["x"], secret_of)

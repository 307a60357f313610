"""Who may read at the admin port, and commands by a unix socket."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from cluster.access.audit import AuditEvent
from cluster.service.admin_http import AdminServer
from cluster.service.admin_token import READ_TOKEN_FILE, AdminToken, read_token_of
from paceline.errors import ConfigError, Unavailable
from paceline_local import admin_commands
from paceline_local.admin_commands import send_command
from paceline_local.probes import get_json

DEADLINE_S = 10.0


class Admin:
    def __init__(self, directory: Path, **more: Any) -> None:
        self.token = AdminToken.of("", directory)
        self.told: list[AuditEvent] = []
        self.asked: list[Mapping[str, str]] = []
        self.server = AdminServer(
            unready=lambda: "no primary yet",
            status=lambda: {"role": "replica", "members": []},
            registry=CollectorRegistry(),
            token=self.token,
            read_token=self.token.read_value,
            tell=self.told.append,
            **more,
        )
        self.server.command("/flush", self._flush)
        self.url = ""

    async def _flush(self, query: Mapping[str, str]) -> dict[str, Any]:
        self.asked.append(query)
        return {"done": True}


@asynccontextmanager
async def serving(directory: Path, **more: Any) -> AsyncIterator[Admin]:
    admin = Admin(directory, **more)
    admin.url = f"http://{await admin.server.start('127.0.0.1:0')}"
    try:
        yield admin
    finally:
        await admin.server.stop()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_who_is_no_reader_needs_a_token(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, readers=["10.0.0.0/8"]) as admin,
        aiohttp.ClientSession(admin.url) as http,
    ):
        for path in ("/status", "/metrics"):
            for headers in ({}, bearer(""), bearer("0" * 64), bearer(admin.token.read_value[:-1])):
                async with http.get(path, headers=headers) as answer:
                    assert answer.status == 401
                    assert "PACELINE_ADMIN_READERS" in (await answer.json())["error"]
            for token in (admin.token.read_value, admin.token.value):
                async with http.get(path, headers=bearer(token)) as answer:
                    assert answer.status == 200
        async with http.get("/healthz") as answer:
            assert answer.status == 200
        async with http.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "not ready\n")
        async with http.get("/readyz", headers=bearer(admin.token.read_value)) as answer:
            assert "no primary yet" in await answer.text()


async def test_the_token_for_reading_changes_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as admin, aiohttp.ClientSession(admin.url) as http:
        async with http.post("/flush", headers=bearer(admin.token.read_value)) as answer:
            assert answer.status == 401
        async with http.get("/status") as answer:
            assert answer.status == 200, "everybody reads, unless it is said otherwise"
    assert admin.asked == []


async def test_readers_are_addresses_or_networks(tmp_path: Path) -> None:
    for readers in (["127.0.0.1"], ["::1", "127.0.0.0/8"]):
        async with (
            serving(tmp_path, readers=readers) as admin,
            aiohttp.ClientSession(admin.url) as http,
            http.get("/metrics") as answer,
        ):
            assert answer.status == 200


def test_tokens_of_a_cluster_are_the_same_at_all_nodes_and_not_each_others(tmp_path: Path) -> None:
    secret = "s" * 44
    tokens = []
    for name in ("n1", "n2"):
        (tmp_path / name).mkdir()
        tokens.append(AdminToken.of(secret, tmp_path / name))
        file = tmp_path / name / READ_TOKEN_FILE
        assert file.read_text().strip() == tokens[-1].read_value == read_token_of(secret)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tokens[0].value == tokens[1].value != tokens[0].read_value
    assert AdminToken.of("", tmp_path).read_value != AdminToken.of("", tmp_path).read_value


class TestSocket:
    async def test_commands_are_taken_there_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "admin.sock"
        async with serving(tmp_path, socket=path, readers=[]) as admin:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            async with (
                aiohttp.ClientSession(admin.url) as http,
                http.post("/flush", headers=bearer(admin.token.value)) as answer,
            ):
                assert answer.status == 403
                assert str(path) in (await answer.json())["error"]
            status = await asyncio.to_thread(
                get_json, f"{admin.url}/status", DEADLINE_S, bearer(admin.token.read_value)
            )
            assert status["admin_socket"] == str(path)
            assert admin.asked == []
            code, body = await asyncio.to_thread(
                send_command, admin.url, status, "flush?table=t", timeout_s=DEADLINE_S
            )
            assert (code, body) == (200, b'{"done": true}')
            code, _ = await asyncio.to_thread(
                send_command, admin.url, status, "flush", body=b'{"table": "u"}', timeout_s=5
            )
            assert code == 200
            assert admin.asked == [{"table": "t"}, {"table": "u"}]
            assert [(one.decision, one.address) for one in admin.told] == [
                ("unauthenticated", "127.0.0.1"),
                ("allowed", ""),
                ("allowed", ""),
            ]
            connector = aiohttp.UnixConnector(str(path))
            async with aiohttp.ClientSession(connector=connector) as http:
                async with http.get("http://localhost/status") as answer:
                    assert answer.status == 200
                page = {"Host": "evil.example"}
                async with http.post("http://localhost/flush", headers=page) as answer:
                    assert answer.status == 403
        assert not path.exists()

    async def test_what_a_killed_process_left_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "admin.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        async with serving(tmp_path, socket=path) as admin:
            code, _ = await asyncio.to_thread(
                send_command, admin.url, {"admin_socket": str(path)}, "flush", timeout_s=DEADLINE_S
            )
            assert code == 200

    async def test_what_is_somebody_elses_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "admin.sock"
        async with serving(tmp_path, socket=path) as first:
            with pytest.raises(ConfigError, match=r"PACELINE_ADMIN_SOCKET.*in use"):
                async with serving(tmp_path, socket=path):
                    raise AssertionError("two listen there")
            code, _ = await asyncio.to_thread(
                send_command, first.url, {"admin_socket": str(path)}, "flush", timeout_s=DEADLINE_S
            )
            assert code == 200
        path.write_text("of somebody")
        with pytest.raises(ConfigError, match=r"PACELINE_ADMIN_SOCKET.*exists"):
            async with serving(tmp_path, socket=path):
                raise AssertionError("a file was replaced")
        assert path.read_text() == "of somebody"

    def test_a_client_opens_no_other_socket_for_a_server(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def ask(path: Path | str) -> None:
            send_command("http://127.0.0.1:1", {"admin_socket": str(path)}, "flush", timeout_s=1)

        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(tmp_path / "docker.sock"))
            other.listen()
            with pytest.raises(Unavailable, match=r"no admin\.sock"):
                ask(tmp_path / "docker.sock")
            with pytest.raises(Unavailable, match=r"no admin\.sock"):
                ask("admin.sock")
            (tmp_path / "admin.sock").symlink_to(tmp_path / "docker.sock")
            with pytest.raises(Unavailable, match="no socket of this user"):
                ask(tmp_path / "admin.sock")
        away = tmp_path / "elsewhere" / "admin.sock"
        with pytest.raises(Unavailable, match=r"no such file.*on the node's machine"):
            ask(away)
        away.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as others:
            others.bind(str(away))
            monkeypatch.setattr(admin_commands.os, "getuid", lambda: os.geteuid() + 1)
            with pytest.raises(Unavailable, match="no socket of this user"):
                ask(away)

"""The audit log as a file: what gets there, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from cluster.access.audit import AuditEvent
from cluster.service import line_writer
from cluster.service.audit_log import DENIED_BURST, STRANGERS_BURST, AuditLog
from cluster.service.line_writer import BATCH_MAX
from cluster.service.rotated_file import RotatedFile
from cluster.settings import AccessSettings
from paceline.errors import ConfigError
from tests.support.waiting import until

DENIED = AuditEvent("denied", "http", "GetItem", "AccessDeniedException", address="10.0.0.1")

ALLOWED = AuditEvent("allowed", "http", "GetItem", address="10.0.0.1")


def stranger(address: str) -> AuditEvent:
    return AuditEvent("unauthenticated", "dax", "", "InvalidSignatureException", address=address)


class Lines:
    """Takes what it is given, as a disk that can be full, or hang."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.error: OSError | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.closed = False

    def append(self, lines: bytes) -> None:
        self.goes_on.wait(20)
        if self.error is not None:
            raise self.error
        self.taken += [json.loads(line) for line in lines.splitlines()]

    def close(self) -> None:
        self.closed = True


async def stopped(log: AuditLog) -> None:
    log.start()
    await log.stop()


async def test_what_is_told_is_written_until_the_end() -> None:
    lines = Lines()
    log = AuditLog(lines, {"program": "n1"}, wall_clock=lambda: 7.0)
    log.start()
    for _ in range(3 * BATCH_MAX):
        log.tell(ALLOWED)
    await log.stop()
    assert len(lines.taken) == log.counts["written"] == 3 * BATCH_MAX
    assert lines.taken[0]["program"] == "n1"
    assert lines.taken[0]["time"] == "1970-01-01T00:00:07.000Z"
    assert lines.closed


async def test_a_disk_that_hangs_holds_nobody_up_and_what_is_lost_is_told() -> None:
    lines = Lines()
    lines.goes_on.clear()
    log = AuditLog(lines, {}, queue_max=10)
    log.start()
    begun = time.monotonic()
    for _ in range(BATCH_MAX + 100):
        log.tell(ALLOWED)
    assert time.monotonic() - begun < 5
    dropped = log.counts["dropped"]
    assert dropped > 0
    lines.goes_on.set()
    await until(lambda: log.counts["written"] == BATCH_MAX + 100 - dropped, "all is written", 20)
    log.tell(DENIED)
    await log.stop()
    assert sum(line.get("lost", {}).get("dropped", 0) for line in lines.taken) == dropped
    assert log.as_dict() == {
        "dropped": dropped,
        "written": BATCH_MAX + 101 - dropped,
        "trouble": None,
    }


async def test_a_full_disk_is_told_and_counted_and_what_follows_is_written() -> None:
    lines = Lines()
    lines.error = OSError(28, "No space left on device")
    log = AuditLog(lines, {})
    with structlog.testing.capture_logs() as logged:
        for _ in range(5):
            log._writer._write([(0.0, DENIED)])
        assert log.as_dict() == {"failed": 5, "trouble": "No space left on device"}
        lines.error = None
        log._writer._write([(0.0, DENIED)])
    assert [line["event"] for line in logged] == [
        "the audit log cannot be written",
        "the audit log is written again",
    ]
    assert [line.get("lost") for line in lines.taken] == [{"failed": 5}, None]
    assert log.as_dict() == {"failed": 5, "written": 1, "trouble": None}


async def test_strangers_do_not_push_everything_else_out() -> None:
    lines = Lines()
    log = AuditLog(lines, {}, clock=lambda: 1.0)
    for number in range(10 * STRANGERS_BURST):
        log.tell(stranger(f"2001:db8::{number:x}"))  # all of one customer
    log.tell(stranger("10.0.0.1"))
    log.tell(DENIED)
    await stopped(log)
    addresses = [line["address"] for line in lines.taken if "address" in line]
    assert len(addresses) == STRANGERS_BURST + 2
    assert addresses[-2:] == ["10.0.0.1", "10.0.0.1"]
    assert log.counts["repeated"] == 9 * STRANGERS_BURST
    assert lines.taken[0]["lost"] == {"repeated": 9 * STRANGERS_BURST}


async def test_nobody_pushes_out_what_operators_did() -> None:
    lines = Lines()
    log = AuditLog(lines, {}, clock=lambda: 1.0, queue_max=2 * DENIED_BURST)
    for number in range(10 * DENIED_BURST):
        log.tell(replace(DENIED, principal="arn:aws:iam::1:user/ann"))
        session = f"arn:aws:sts::1:assumed-role/r/session{number}"
        log.tell(replace(DENIED, principal=session))
    log.tell(replace(DENIED, principal="arn:aws:iam::1:user/bob"))
    assert dict(log.counts) == {"repeated": 18 * DENIED_BURST, "dropped": 1}
    for decision in ("allowed", "failed"):
        log.tell(AuditEvent(decision, "admin", "/flush"))
    await stopped(log)
    assert [line["decision"] for line in lines.taken[-2:]] == ["allowed", "failed"]
    assert log.counts["written"] == 2 * DENIED_BURST + 2


async def test_long_texts_do_not_wait() -> None:
    log = AuditLog(Lines(), {})
    log.tell(replace(DENIED, resource="r" * 4_000_000))
    assert len(log._writer._queue.get()[1].resource) < 3_000  # type: ignore[index]


async def test_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    log = AuditLog.of(AccessSettings(audit_file=Path("stdout")), "n1")
    assert log is not None
    log.tell(DENIED)
    await stopped(log)
    assert json.loads(capfd.readouterr().out)["program"] == "n1"


def test_none_is_the_default_and_a_file_that_cannot_be_is_told(tmp_path: Path) -> None:
    assert AuditLog.of(AccessSettings(), "n1") is None
    for path in (tmp_path, tmp_path / "no" / "audit"):
        with pytest.raises(ConfigError, match=r"cannot write .*PACELINE_ACCESS__AUDIT_FILE"):
            AuditLog.of(AccessSettings(audit_file=path), "n1")


class TestFile:
    def test_it_is_for_its_owner_and_goes_on_where_it_was(self, tmp_path: Path) -> None:
        path = tmp_path / "audit"
        for line in (b"one\n", b"two\n"):
            file = RotatedFile(path, 1000, 3)
            file.append(line)
            file.close()
        assert path.read_bytes() == b"one\ntwo\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_one_that_others_could_read_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "audit"
        path.write_bytes(b"one\n")
        path.chmod(0o644)
        RotatedFile(path, 1000, 3).close()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("files_max", [1, 3])
    def test_a_full_one_is_renamed_and_the_oldest_goes(
        self, tmp_path: Path, files_max: int
    ) -> None:
        path = tmp_path / "audit"
        file = RotatedFile(path, 10, files_max)
        for number in range(9):
            file.append(b"line%d\n" % number)
        found = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
        names = ["audit", "audit.1", "audit.2"][:files_max]
        assert found == {name: b"line%d\n" % (8 - age) for age, name in enumerate(names)}

    def test_others_may_rename_it(self, tmp_path: Path) -> None:
        path = tmp_path / "audit"
        file = RotatedFile(path, 1000, 3)
        file.append(b"one\n")
        path.rename(tmp_path / "elsewhere")
        file.append(b"two\n")
        path.unlink()
        file.append(b"three\n")
        assert (tmp_path / "elsewhere").read_bytes() == b"one\n"
        assert path.read_bytes() == b"three\n"

    def test_a_link_in_its_place_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "other").write_bytes(b"")
        (tmp_path / "audit").symlink_to(tmp_path / "other")
        with pytest.raises(OSError, match="symbolic links"):
            RotatedFile(tmp_path / "audit", 1000, 3)

    def test_half_a_line_does_not_stay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "audit"
        file = RotatedFile(path, 1000, 3)
        file.append(b"one\n")
        write = os.write

        def fills(descriptor: int, data: bytes) -> int:
            if len(data) < 4:
                raise OSError(28, "No space left on device")
            return write(descriptor, data[:4])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", fills)
            with pytest.raises(OSError, match="No space"):
                file.append(b"twotwo\n")
        file.append(b"three\n")
        assert path.read_bytes() == b"one\nthree\n"

    def test_a_full_disk(self) -> None:
        file = RotatedFile(Path("/dev/full"), 1000, 3)
        with pytest.raises(OSError, match="No space"):
            file.append(b"one\n")


def test_the_thread_does_not_keep_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "STOP_S", 0.05)
    lines = Lines()
    lines.goes_on.clear()
    log = AuditLog(lines, {})
    log.tell(DENIED)
    begun = time.monotonic()
    asyncio.run(stopped(log))
    assert time.monotonic() - begun < 5
    lines.goes_on.set()

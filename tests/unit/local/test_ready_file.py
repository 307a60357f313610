"""The ready file appears whole or not at all, and never lies about an older cluster."""

import json
import tempfile
from pathlib import Path

import pytest

from paceline.errors import ConfigError, Unavailable
from paceline_local.cli.output import further_lines
from paceline_local.ready_file import (
    ClusterEntry,
    clear_ready_file,
    further_entries,
    read_registry,
    registry_path,
    write_ready_file,
    write_registry,
)
from paceline_local.status import Status, with_roles


def entry(roles: tuple[str | None, ...] = (None, None, None)) -> ClusterEntry:
    return {
        "dax": "dax://127.0.0.1:8111",
        "epoch": 1,
        "dynamodb": {"endpoint": None, "pid": None},
        "discovery": [],
        "nodes": [
            {
                "id": f"node-{i}",
                "zone": "a",
                "role": role,
                "dax": None,
                "http": None,
                "grpc": None,
                "admin": f"http://127.0.0.1:{8200 + i}",
                "pid": i,
            }
            for i, role in enumerate(roles, 1)
        ],
    }


def status(role: str, epoch: int) -> Status:
    return {"role": role, "epoch": epoch}


def test_a_ready_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    write_ready_file(path, entry())
    write_ready_file(path, {**entry(), "epoch": 2})
    assert json.loads(path.read_text()) == {**entry(), "epoch": 2}
    assert list(tmp_path.iterdir()) == [path]


def test_an_old_ready_file_is_cleared_but_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    clear_ready_file(path)
    write_ready_file(path, entry())
    clear_ready_file(path)
    assert not path.exists()
    path.touch()
    clear_ready_file(path)
    path.write_text("my notes")
    with pytest.raises(ConfigError, match="is no ready file"):
        clear_ready_file(path)
    assert path.read_text() == "my notes"
    with pytest.raises(ConfigError, match="is no directory"):
        clear_ready_file(tmp_path / "none" / "ready.json")


def test_the_registry_is_private_and_found_by_base_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert read_registry(8000) is None
    write_registry(8000, entry())
    assert read_registry(8000) == entry()
    assert read_registry(9000) is None
    assert registry_path(8000).parent.stat().st_mode & 0o777 == 0o700
    registry_path(8000).write_text("[]")
    assert read_registry(8000) is None


def test_roles_come_from_the_newest_epoch() -> None:
    """A primary that was paused wakes up and still believes in its epoch."""
    seen = with_roles(
        entry(),
        {
            "http://127.0.0.1:8201": status("primary", 4),
            "http://127.0.0.1:8202": status("primary", 5),
            "http://127.0.0.1:8203": Unavailable("timed out"),
        },
    )
    assert [node["role"] for node in seen["nodes"]] == ["replica", "primary", None]
    assert seen["epoch"] == 5


def test_clusters_beside_it_are_told_of() -> None:
    told = {
        "orders": {"ready": True, "host": "127.0.0.2", "port": 8111, "tls_port": 9111},
        "again": {"ready": False, "host": "127.0.0.3", "port": 8111, "tls_port": 0},
    }
    entries = further_entries(told)
    assert [(one["name"], one["dax"], one["dax_tls"]) for one in entries] == [
        ("again", "dax://127.0.0.3:8111", None),
        ("orders", "dax://127.0.0.2:8111", "daxs://127.0.0.2:9111"),
    ]
    assert further_lines({**entry(), "further": entries}) == [
        "cluster again: dax://127.0.0.3:8111 (starting)",
        "cluster orders: dax://127.0.0.2:8111",
    ]
    assert further_lines(entry()) == []

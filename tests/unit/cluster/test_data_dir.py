import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cluster import data_dir
from cluster.data_dir import CONSENSUS_LOG_FILE, DataDir, replace_file
from paceline.errors import ConfigError


def test_a_new_directory_gets_an_identity_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    first = DataDir.open(path, "n1", "c")
    assert first.identity.node_id == "n1"
    assert not first.identity.joined
    assert first.identity.promised is None
    first.promise({"n1": first.identity.disk_id})
    (path / CONSENSUS_LOG_FILE).touch()
    first.mark_joined()
    first.close()
    second = DataDir.open(path, "n1", "c")
    assert second.identity == first.identity
    assert second.identity.joined
    assert second.identity.promised == {"n1": first.identity.disk_id}
    second.close()


def test_a_log_that_is_gone_is_damage_once_the_cluster_knows_the_disk(tmp_path: Path) -> None:
    """It has voted; begun anew under the same name it could vote again."""
    DataDir.open(tmp_path, "n1", "c").close()
    first = DataDir.open(tmp_path, "n1", "c")  # nothing is promised yet
    first.mark_joined()
    first.close()
    with pytest.raises(ConfigError, match=f"{CONSENSUS_LOG_FILE} is damaged"):
        DataDir.open(tmp_path, "n1", "c")


def test_two_directories_have_two_disk_ids(tmp_path: Path) -> None:
    one, two = DataDir.open(tmp_path / "1", "n1", "c"), DataDir.open(tmp_path / "2", "n1", "c")
    assert one.identity.disk_id != two.identity.disk_id
    one.close()
    two.close()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    DataDir.open(tmp_path / "d", "n1", "c").close()
    assert (tmp_path / "d").stat().st_mode & 0o077 == 0


def test_one_process_at_a_time(tmp_path: Path) -> None:
    data_dir = DataDir.open(tmp_path, "n1", "c")
    with pytest.raises(ConfigError, match=f"pid {os.getpid()}"):
        DataDir.open(tmp_path, "n1", "c")
    script = (
        "import sys; from pathlib import Path; from cluster.data_dir import DataDir\n"
        "from paceline.errors import ConfigError\n"
        "try: DataDir.open(Path(sys.argv[1]), 'n1', 'c')\n"
        "except ConfigError as e: print(e); sys.exit(7)"
    )
    other = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert other.returncode == 7, other.stderr
    assert "in use by another process" in other.stdout
    data_dir.close()
    data_dir.close()
    DataDir.open(tmp_path, "n1", "c").close()


@pytest.mark.parametrize(
    ("node", "cluster", "says"), [("n2", "c", "PACELINE_NODE_ID"), ("n1", "x", "PACELINE_CLUSTER")]
)
def test_a_directory_of_another(tmp_path: Path, node: str, cluster: str, says: str) -> None:
    DataDir.open(tmp_path, "n1", "c").close()
    with pytest.raises(ConfigError, match=says):
        DataDir.open(tmp_path, node, cluster)
    DataDir.open(tmp_path, "n1", "c").close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"format": 1}',
        json.dumps({"format": 1, "node_id": 5, "cluster": "c", "disk_id": "", "created": "x"}),
    ],
)
def test_a_damaged_identity_names_the_file_and_says_what_to_do(
    tmp_path: Path, content: bytes | str
) -> None:
    file = tmp_path / "identity.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match="remove this node from the cluster") as caught:
        DataDir.open(tmp_path, "n1", "c")
    assert str(file) in str(caught.value)


def test_a_newer_format(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text('{"format": 2}')
    with pytest.raises(ConfigError, match="newer release"):
        DataDir.open(tmp_path, "n1", "c")


@pytest.mark.parametrize(
    "name", ["raft.journal", "raft.dump", "log", "consensus.log", "consensus.state"]
)
def test_a_log_without_an_identity(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match=name):
        DataDir.open(tmp_path, "n1", "c")


def test_a_path_that_cannot_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="PACELINE_DATA_DIR"):
        DataDir.open(tmp_path / "file", "n1", "c")


def test_replaced_files_are_whole(tmp_path: Path) -> None:
    file = tmp_path / "x"
    replace_file(file, b"one")
    replace_file(file, b"two")
    assert file.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_what_was_asked_for_before_the_end_is_written_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could be written over what the next process promises."""
    opened = DataDir.open(tmp_path, "n1", "c")
    goes, began = threading.Event(), threading.Event()
    replace_file = data_dir.replace_file

    def slow(file: Path, data: bytes) -> None:
        began.set()
        assert goes.wait(10)
        replace_file(file, data)

    monkeypatch.setattr(data_dir, "replace_file", slow)
    writing = threading.Thread(target=opened.promise, args=({"n1": "a"},))
    writing.start()
    assert began.wait(10)
    closing = threading.Thread(target=opened.close)
    closing.start()
    with pytest.raises(ConfigError, match="in use"):
        DataDir.open(tmp_path, "n1", "c")
    goes.set()
    closing.join(10)
    writing.join(10)
    assert not closing.is_alive()
    for late in (opened.mark_joined, lambda: opened.promise({"n1": "a"})):
        with pytest.raises(RuntimeError, match="closed"):
            late()
    again = DataDir.open(tmp_path, "n1", "c")
    assert again.identity.promised == {"n1": "a"}
    assert not again.identity.joined
    again.close()


def test_a_disk_promises_once(tmp_path: Path) -> None:
    opened = DataDir.open(tmp_path, "n1", "c")
    opened.promise({"n1": "a"})
    opened.promise({"n1": "a"})
    with pytest.raises(ValueError, match="promises once"):
        opened.promise({"n1": "a", "n2": "b"})
    assert opened.identity.promised == {"n1": "a"}
    opened.close()

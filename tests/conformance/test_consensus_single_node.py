"""What only the log in one file has to do: torn ends, damage, a disk that fails."""

import asyncio
from pathlib import Path

import pytest

from cluster.consensus import single_node
from cluster.consensus.interface import ProposalRefused, ProposalUnknown
from cluster.consensus.single_node import COMMAND, MAGIC, SingleNode, decode_log, encode_record
from cluster.data_dir import replace_file
from cluster.log import commands as c
from cluster.log.state import ReplicatedState
from paceline.errors import ConfigError
from tests.support.consensus_clusters import Replica, SingleCluster, hashed

TIMEOUT_S = 10.0


def setting(n: int) -> bytes:
    return c.encode(c.SetSetting(f"k{n}", str(n)))


async def written(path: Path, count: int = 3) -> bytes:
    cluster = SingleCluster(path)
    await cluster.start()
    for n in range(count):
        await cluster.replicas[0].consensus.propose(setting(n), TIMEOUT_S)
    await cluster.stop()
    return await asyncio.to_thread(path.read_bytes)


async def test_cut_anywhere_it_starts_with_the_complete_commands(tmp_path: Path) -> None:
    path = tmp_path / "log"
    data = await written(path)
    ends = [len(MAGIC)]
    for n in range(3):
        ends.append(ends[-1] + len(encode_record(COMMAND, setting(n))))
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        cluster = SingleCluster(path)
        await cluster.start()
        whole = sum(end <= cut for end in ends[1:])
        (replica,) = cluster.replicas
        assert replica.state.settings == {f"k{n}": str(n) for n in range(whole)}, cut
        assert (await replica.consensus.propose(setting(9), TIMEOUT_S)).ok
        await cluster.stop()
        records, end = decode_log(path.read_bytes(), path)
        assert len(records) == whole + 1
        assert end == path.stat().st_size


async def test_a_tail_of_zeros_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    data = await written(path)
    assert decode_log(data + bytes(4096), path)[1] == len(data)


async def test_any_wrong_byte_before_the_last_command_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    data = await written(path)
    last = len(data) - len(encode_record(COMMAND, setting(2)))
    for position in range(last):
        garbled = data[:position] + bytes([data[position] ^ 0x41]) + data[position + 1 :]
        with pytest.raises(ConfigError, match="is damaged"):
            decode_log(garbled, path)


async def test_damage_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "log"
    data = await written(path)
    path.write_bytes(data[:20] + b"\xff" + data[21:])
    with pytest.raises(ConfigError, match=str(path)):
        await Replica(SingleNode("n1", ReplicatedState(hashed), path)).start()


async def test_a_disk_that_fails_makes_outcomes_unknown_then_refuses(tmp_path: Path) -> None:
    node = SingleNode("n1", ReplicatedState(hashed), tmp_path / "log")
    replica = Replica(node)
    await replica.start()

    def full(command: bytes) -> None:
        raise OSError(28, "No space left on device")

    told: list[str] = []
    node.watch_failure(told.append)
    node._append = full  # type: ignore[method-assign]
    with pytest.raises(ProposalUnknown, match="No space left"):
        await node.propose(setting(1), TIMEOUT_S)
    assert told == [node.trouble]
    with pytest.raises(ProposalRefused, match="No space left"):
        await node.propose(setting(2), TIMEOUT_S)
    assert replica.applied == []
    assert "No space left" in str(node.trouble)
    await node.stop()


@pytest.mark.parametrize("renamed", [False, True])
async def test_no_command_is_lost_to_a_rewrite_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    """Before the new file has the name, or after it."""

    def fails(file: Path, data: bytes) -> None:
        if renamed:
            replace_file(file, data)
        raise OSError(5, "Input/output error")

    cluster = SingleCluster(tmp_path / "log", entries_max=5)
    await cluster.start()
    monkeypatch.setattr(single_node, "replace_file", fails)
    for n in range(12):
        assert (await cluster.replicas[0].consensus.propose(setting(n), TIMEOUT_S)).ok
    replica = await cluster.restart(0)
    assert replica.state.settings == {f"k{n}": str(n) for n in range(12)}
    await cluster.stop()


async def test_peers_do_not_join_a_cluster_of_one() -> None:
    node = SingleNode("n1", ReplicatedState(hashed))
    await Replica(node).start()
    with pytest.raises(ProposalRefused, match="cannot grow"):
        await node.add_peer("h:1", 1.0)
    assert not await node.transfer_leadership("n2")
    await node.stop()


async def test_stop_waits_for_what_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    node = SingleNode("n1", ReplicatedState(hashed), path)
    await Replica(node).start()
    proposals = [asyncio.create_task(node.propose(setting(n), TIMEOUT_S)) for n in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await node.stop()
    await asyncio.gather(*proposals)
    assert len(decode_log(path.read_bytes(), path)[0]) == 10

"""A proxied link passes bytes as they are, and fails exactly as it is told to."""

import asyncio
import random
import socket
import struct
import time

import pytest

from paceline_local.chaos.faults import Faults
from paceline_local.chaos.pipe import QUEUE_BYTES_MAX
from tests.support.proxied import HOST, Proxied, ended, exactly, silent
from tests.support.waiting import until

BLACKHOLE = Faults(mode="blackhole")
CUT = Faults(mode="cut")


async def test_bytes_arrive_intact_both_ways() -> None:
    data = random.Random(7).randbytes(3_000_000)
    async with Proxied() as proxied:
        (reader, writer), (far_reader, far_writer) = await proxied.connect()

        async def echo() -> None:
            while piece := await far_reader.read(65_536):
                far_writer.write(piece)
                await far_writer.drain()
            far_writer.close()

        async def send() -> None:
            for start in range(0, len(data), 100_000):
                writer.write(data[start : start + 100_000])
                await writer.drain()
            writer.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(echo())
            group.create_task(send())
            assert await exactly(reader, len(data)) == data
        assert await ended(reader)
        assert proxied.forward.bytes_passed == proxied.backward.bytes_passed == len(data)


async def test_many_connections_are_kept_apart_and_none_is_left() -> None:
    async with Proxied() as proxied:

        async def talk(number: int) -> None:
            reader, writer = await proxied.dial()
            writer.write(struct.pack(">I", number) * 1000)
            assert await exactly(reader, 4) == struct.pack(">I", number + 1)
            writer.close()
            await writer.wait_closed()

        async def serve() -> None:
            for _ in range(200):
                reader, writer = await proxied.accepted.get()
                received = await exactly(reader, 4000)
                assert received == received[:4] * 1000
                writer.write(struct.pack(">I", struct.unpack(">I", received[:4])[0] + 1))

        async with asyncio.TaskGroup() as group:
            group.create_task(serve())
            for number in range(200):
                group.create_task(talk(number))
        assert proxied.link.accepted == 200


async def test_a_half_closed_connection_still_answers() -> None:
    async with Proxied() as proxied:
        (reader, writer), (far_reader, far_writer) = await proxied.connect()
        writer.write(b"question")
        writer.write_eof()
        assert await asyncio.wait_for(far_reader.read(), 5) == b"question"
        far_writer.write(b"answer")
        far_writer.close()
        assert await asyncio.wait_for(reader.read(), 5) == b"answer"
        await until(lambda: not proxied.link.connections, "the connection is over")


async def test_a_reset_is_passed_on_as_a_reset() -> None:
    async with Proxied() as proxied:
        (_, writer), (far_reader, _) = await proxied.connect()
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        assert not await ended(far_reader)
        await until(lambda: not proxied.link.connections, "the connection is over")


async def test_a_sender_waits_for_a_receiver_that_does_not_read() -> None:
    async with Proxied() as proxied:
        (_, writer), (far_reader, _) = await proxied.connect()
        sent = await fill(writer)
        (connection,) = proxied.link.connections
        assert connection.forward.queued_bytes <= QUEUE_BYTES_MAX
        assert await asyncio.wait_for(far_reader.readexactly(sent), 10) == bytes(sent)


async def fill(writer: asyncio.StreamWriter) -> int:
    """Send until nothing more is taken; how much that was."""
    writer.transport.set_write_buffer_limits(high=0)
    sent = 0
    while sent < 200_000_000:
        writer.write(bytes(100_000))
        sent += 100_000
        try:
            async with asyncio.timeout(0.3):
                await writer.drain()
        except TimeoutError:
            return sent
    raise AssertionError("the proxy takes bytes without end")


# -- blackholes -----------------------------------------------------------------------------


async def test_a_blackhole_holds_bytes_and_lets_them_go_on_later() -> None:
    async with Proxied() as proxied:
        (reader, writer), (far_reader, far_writer) = await proxied.connect()
        proxied.set(BLACKHOLE, BLACKHOLE)
        writer.write(b"there")
        far_writer.write(b"back")
        assert await silent(far_reader)
        assert await silent(reader)
        proxied.set()
        assert await exactly(far_reader, 5) == b"there"
        assert await exactly(reader, 4) == b"back"


async def test_a_blackhole_in_one_direction_leaves_the_other() -> None:
    async with Proxied() as proxied:
        (reader, writer), (far_reader, far_writer) = await proxied.connect()
        proxied.set(backward=BLACKHOLE)
        writer.write(b"there")
        assert await exactly(far_reader, 5) == b"there"
        far_writer.write(b"back")
        assert await silent(reader)
        proxied.set()
        assert await exactly(reader, 4) == b"back"


async def test_a_blackhole_takes_a_bounded_amount() -> None:
    async with Proxied() as proxied:
        (_, writer), (far_reader, _) = await proxied.connect()
        proxied.set(BLACKHOLE)
        sent = await fill(writer)
        (connection,) = proxied.link.connections
        assert connection.forward.queued_bytes <= QUEUE_BYTES_MAX
        proxied.set()
        assert await asyncio.wait_for(far_reader.readexactly(sent), 10) == bytes(sent)


async def test_an_end_in_a_blackhole_is_not_noticed_until_it_is_over() -> None:
    async with Proxied() as proxied:
        (_, writer), (far_reader, _) = await proxied.connect()
        proxied.set(BLACKHOLE, BLACKHOLE)
        writer.write(b"last words")
        writer.close()
        await writer.wait_closed()
        assert await silent(far_reader)
        proxied.set()
        assert await asyncio.wait_for(far_reader.read(), 5) == b"last words"


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
async def test_a_connection_opened_in_a_blackhole_waits_for_its_end(direction: str) -> None:
    async with Proxied() as proxied:
        proxied.set(
            BLACKHOLE if direction != "backward" else Faults(),
            BLACKHOLE if direction != "forward" else Faults(),
        )
        _, writer = await proxied.dial()
        writer.write(b"hello")
        await asyncio.sleep(0.05)
        assert proxied.accepted.empty()
        proxied.set()
        far_reader, _ = await asyncio.wait_for(proxied.accepted.get(), 5)
        assert await exactly(far_reader, 5) == b"hello"


async def test_a_connection_given_up_in_a_blackhole_never_arrives() -> None:
    async with Proxied() as proxied:
        proxied.set(BLACKHOLE)
        _, writer = await proxied.dial()
        writer.write(b"too late")
        writer.close()
        await writer.wait_closed()
        (connection,) = proxied.link.connections
        await until(lambda: connection.given_up, "the end was seen")
        proxied.set()
        await until(lambda: not proxied.link.connections, "the connection is over")
        assert proxied.accepted.empty()


async def test_what_a_reset_left_in_a_blackhole_is_not_delivered() -> None:
    async with Proxied() as proxied:
        (_, writer), (far_reader, _) = await proxied.connect()
        proxied.set(BLACKHOLE, BLACKHOLE)
        writer.write(b"never")
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        await asyncio.sleep(0.05)
        proxied.set()
        assert not await ended(far_reader)
        assert proxied.forward.bytes_passed == 0


# -- cuts -----------------------------------------------------------------------------------


async def test_a_cut_resets_and_refuses_until_it_is_over() -> None:
    async with Proxied() as proxied:
        (reader, _), (far_reader, _) = await proxied.connect()
        proxied.set(CUT, CUT)
        assert not await ended(reader)
        assert not await ended(far_reader)
        with pytest.raises(ConnectionRefusedError):
            await proxied.dial()
        proxied.set()
        (_, writer), (far_reader, _) = await proxied.connect()
        writer.write(b"again")
        assert await exactly(far_reader, 5) == b"again"


async def test_the_port_stays_its_own_while_it_is_cut() -> None:
    async with Proxied() as proxied:
        proxied.set(CUT, CUT)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((HOST, proxied.port))
        proxied.set()
        await proxied.connect()


async def test_a_link_refuses_while_its_target_does() -> None:
    async with Proxied(listening=False) as proxied:
        with pytest.raises(ConnectionRefusedError):
            await proxied.dial()
        await proxied.start_target()
        await until(lambda: proxied.target.listens, "the target is seen")
        await proxied.accepted.get()
        await proxied.connect()
        await proxied.stop_target()
        reader, _ = await proxied.dial()
        assert not await ended(reader)
        with pytest.raises(ConnectionRefusedError):
            await proxied.dial()


# -- slow and broken links ------------------------------------------------------------------


async def test_latency_is_added_each_way_and_keeps_the_order() -> None:
    async with Proxied() as proxied:
        (reader, writer), (far_reader, far_writer) = await proxied.connect()
        slow = Faults(latency_s=0.05, jitter_s=0.04)
        proxied.set(slow, slow)
        sent = b"".join(struct.pack(">I", number) for number in range(100))
        begun = time.monotonic()
        for start in range(0, len(sent), 4):
            writer.write(sent[start : start + 4])
            await asyncio.sleep(0.001)
        assert await exactly(far_reader, len(sent)) == sent
        far_writer.write(b"x")
        assert await exactly(reader, 1) == b"x"
        assert time.monotonic() - begun >= 2 * 0.01


async def test_a_latency_that_ends_lets_go_what_is_under_way() -> None:
    async with Proxied() as proxied:
        (_, writer), (far_reader, _) = await proxied.connect()
        proxied.set(Faults(latency_s=3000.0))
        writer.write(b"soon")
        assert await silent(far_reader)
        proxied.set()
        assert await exactly(far_reader, 4) == b"soon"


async def test_bandwidth_is_shared_by_connections() -> None:
    async with Proxied() as proxied:
        first, second = await proxied.connect(), await proxied.connect()
        proxied.set(Faults(bytes_per_s=200_000))
        begun = time.monotonic()
        for (_, writer), _ in (first, second):
            writer.write(bytes(20_000))
        for _, (far_reader, _) in (first, second):
            await exactly(far_reader, 20_000)
        # 40 kB at 200 kB/s; the last piece leaves when it has been paid for.
        assert time.monotonic() - begun >= 0.15


async def test_dropped_data_resets_the_connection() -> None:
    async with Proxied() as proxied:
        (reader, writer), (far_reader, _) = await proxied.connect()
        proxied.set(Faults(drop=1.0))
        writer.write(b"gone")
        assert not await ended(reader)
        assert not await ended(far_reader)
        assert proxied.forward.resets == 1
        assert proxied.forward.bytes_passed == 0


async def test_a_small_share_of_drops_resets_some_connections_only() -> None:
    async with Proxied(seed=3) as proxied:
        proxied.set(Faults(drop=0.3))
        outcomes = []
        for _ in range(40):
            (_, writer), (far_reader, _) = await proxied.connect()
            writer.write(b"?")
            try:
                outcomes.append(await exactly(far_reader, 1) == b"?")
            except (ConnectionError, asyncio.IncompleteReadError):
                outcomes.append(False)
            writer.close()
        assert proxied.forward.resets == outcomes.count(False)
        assert 3 <= outcomes.count(False) <= 25

"""The pool of connections to one node: bursts, nodes that are away, event loops that are busy."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from paceline.client.aio.connection import Connection
from paceline.client.aio.pool import OPENING_MAX, Pool
from paceline.client.core.commands import Broken
from paceline.client.core.retry import NoAnswer
from paceline.client.sync.pool import BlockingPool
from paceline.clock import now
from paceline.dax.connection import Reply
from paceline.dax.errors import encode_error
from paceline.dax.family import Family
from paceline.dax.request_types import Endpoints
from paceline.dax.responses import endpoints_reply
from paceline.errors import NotSent
from tests.support.waiting import until

DEADLINE_S = 30.0
HELD_UP_S = 0.2


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield int(listener.getsockname()[1])


class LastWords(threading.Thread):
    """A node that begins to stop while it answers: its goodbye is right behind the reply."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(daemon=True)
        self._listener = listener
        self.requests = 0

    def run(self) -> None:
        said = endpoints_reply([]) + encode_error(
            NotSent("this node is stopping"), client=Family.PACELINE, read=False
        )
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    while connection.recv(1000):
                        self.requests += 1
                        connection.sendall(said)


@pytest.fixture
def stopping() -> Iterator[tuple[int, LastWords]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        node = LastWords(listener)
        node.start()
        yield int(listener.getsockname()[1]), node
        listener.shutdown(socket.SHUT_RDWR)
    node.join(DEADLINE_S)


def test_threads_hand_nothing_to_a_node_that_said_goodbye(stopping: tuple[int, LastWords]) -> None:
    port, node = stopping
    pool = BlockingPool("127.0.0.1", port, 1, DEADLINE_S, now)
    connection = pool.take(DEADLINE_S)
    connection.prove(DEADLINE_S)
    with pytest.raises(Broken, match="goodbye") as caught:
        connection.exchange(Endpoints(), DEADLINE_S)
    assert caught.value.how is NoAnswer.NOT_HANDED_OVER
    pool.give_back(connection)
    other = pool.take(DEADLINE_S)
    assert other is not connection
    pool.give_back(other)
    pool.close()
    assert node.requests == 1


async def test_nor_does_an_event_loop(stopping: tuple[int, LastWords]) -> None:
    port, node = stopping
    pool = Pool("127.0.0.1", port, 1, DEADLINE_S)
    connection = await pool.take(DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        assert type(await connection.exchange(Endpoints())) is Reply
    with pytest.raises(Broken) as caught:
        await connection.exchange(Endpoints())
    assert caught.value.how is NoAnswer.NOT_HANDED_OVER
    pool.give_back(connection)
    assert await pool.take(DEADLINE_S) is not connection
    await pool.close()
    assert node.requests == 1


async def test_few_connections_are_made_at_a_time(port: int) -> None:
    pool = Pool("127.0.0.1", port, 12, DEADLINE_S)
    most = 0

    async def one() -> None:
        nonlocal most
        connection = await pool.take(DEADLINE_S)
        most = max(most, pool._opening)
        await asyncio.sleep(0)
        pool.give_back(connection)

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(one() for _ in range(100)))
    assert 1 <= most <= OPENING_MAX
    assert OPENING_MAX <= len(pool.connections) <= 12
    await pool.close()


async def test_a_busy_event_loop_does_not_make_a_node_unreachable(port: int) -> None:
    """The time for the connection passes while the loop cannot see that it is there."""
    pool = Pool("127.0.0.1", port, 1, HELD_UP_S / 4)
    taking = asyncio.ensure_future(pool.take(DEADLINE_S))
    await until(lambda: pool._opening == 1)
    threading.Event().wait(HELD_UP_S)
    connection = await taking
    assert connection.usable
    pool.give_back(connection)
    await pool.close()


class Away(Pool):
    """A node that lets everybody wait, and then nobody in."""

    tried = 0

    async def _connected(self, timeout_s: float) -> Connection:
        self.tried += 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        raise TimeoutError


async def test_all_who_wait_for_a_node_learn_that_it_is_away() -> None:
    pool = Away("127.0.0.1", 1, 64, DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        failures = await asyncio.gather(
            *(pool.take(DEADLINE_S) for _ in range(100)), return_exceptions=True
        )
    for failure in failures:
        assert isinstance(failure, Broken)
        assert "cannot be reached: no answer in time" in str(failure)
        assert failure.how is NoAnswer.NOT_HANDED_OVER
        assert not failure.busy
    assert pool.tried <= 2 * OPENING_MAX, "the others did not each wait for themselves"
    await pool.close()


async def test_a_node_that_has_left_keeps_no_idle_connection(port: int) -> None:
    pool = Pool("127.0.0.1", port, 1, DEADLINE_S)
    pool.give_back(await pool.take(DEADLINE_S))
    pool.retire()
    assert not pool.connections
    await pool.close()


async def test_who_gives_up_waiting_leaves_no_connection_behind(port: int) -> None:
    pool = Pool("127.0.0.1", port, 1, DEADLINE_S)
    held = await pool.take(DEADLINE_S)
    waiting = asyncio.ensure_future(pool.take(DEADLINE_S))
    await until(lambda: len(pool._waiters) == 1)
    pool.give_back(held)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await pool.take(DEADLINE_S) is held
    pool.give_back(held)
    await pool.close()

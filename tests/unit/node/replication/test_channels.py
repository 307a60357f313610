"""Channels to peers: how many are kept, and which."""

from __future__ import annotations

from typing import Any, cast

from node.replication.channels import CHANNELS_MAX, Channels
from tests.support.waiting import until


class FakeChannel:
    def __init__(self, address: str, closed: list[str]) -> None:
        self._address = address
        self._closed = closed

    async def close(self, grace: float | None) -> None:
        self._closed.append(self._address)


class FakeFactory:
    def __init__(self) -> None:
        self.closed: list[str] = []

    def open(self, address: str) -> FakeChannel:
        return FakeChannel(address, self.closed)


async def test_no_more_channels_are_open_than_their_bound_and_none_is_kept_that_closed() -> None:
    factory = FakeFactory()
    channels = Channels(cast(Any, factory))
    for number in range(CHANNELS_MAX + 1):
        assert factory.closed == []
        channels.get(f"peer-{number}")
    await until(lambda: not channels._closing)
    assert factory.closed == ["peer-0"]
    await channels.aclose()


async def test_a_node_that_has_asked_nobody_has_nothing_to_close() -> None:
    await Channels(cast(Any, FakeFactory())).aclose()


async def test_the_address_that_nobody_asked_for_longest_is_closed_first() -> None:
    factory = FakeFactory()
    channels = Channels(cast(Any, factory))
    primary = channels.get("primary")
    for number in range(CHANNELS_MAX):  # peers that come back under another address each time
        channels.get(f"peer-{number}")
        assert channels.get("primary") is primary, "its writes are under way"
    await channels.aclose()
    assert factory.closed[0] == "peer-0"
    assert sorted(factory.closed) == sorted(
        ["primary", *(f"peer-{n}" for n in range(CHANNELS_MAX))]
    )

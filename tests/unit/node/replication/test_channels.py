"""Channels to members: how many are kept, and which; what a new address or certificate changes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from node.replication.channels import CHANNELS_MAX, Channels
from paceline.errors import Unavailable
from tests.support.waiting import until


class FakeChannel:
    def __init__(self, name: str, closed: list[str]) -> None:
        self.name = name
        self._closed = closed

    async def close(self, grace: float | None) -> None:
        self._closed.append(self.name)


class FakeMembers:
    def __init__(self) -> None:
        self.closed: list[str] = []
        self.opened = 0
        self.pair = object()

    def open(self, address: str, node_id: str, *, use: str) -> FakeChannel:
        assert use == "replication"
        assert node_id in address
        self.opened += 1
        return FakeChannel(f"{address} {self.opened}", self.closed)


class View:
    def __init__(self) -> None:
        self.moved: dict[str, str | None] = {}
        self.members = FakeMembers()
        self.channels = Channels(cast(Any, self.members), self.address_of)

    def address_of(self, node_id: str) -> str | None:
        return self.moved.get(node_id, f"{node_id}:1")

    def name(self, node_id: str = "n2") -> str:
        return cast(FakeChannel, self.channels.get(node_id)).name


async def test_no_more_channels_are_open_than_their_bound_and_none_is_kept_that_closed() -> None:
    view = View()
    for number in range(CHANNELS_MAX + 1):
        assert view.members.closed == []
        view.channels.get(f"peer-{number}")
    await until(lambda: not view.channels._closing)
    assert view.members.closed == ["peer-0:1 1"]
    await view.channels.aclose()


async def test_a_node_that_has_asked_nobody_has_nothing_to_close() -> None:
    await View().channels.aclose()


async def test_the_member_that_nobody_asked_for_longest_is_closed_first() -> None:
    view = View()
    primary = view.name("primary")
    for number in range(CHANNELS_MAX):  # members that come and go
        view.channels.get(f"peer-{number}")
        assert view.name("primary") == primary, "its writes are under way"
    await view.channels.aclose()
    assert view.members.closed[0] == "peer-0:1 2"
    assert len(view.members.closed) == CHANNELS_MAX + 1


@pytest.mark.parametrize("what", ["address", "certificate"])
async def test_what_is_new_opens_a_channel_and_calls_on_the_one_before_go_on(what: str) -> None:
    view = View()

    def changed(number: int) -> None:
        if what == "address":
            view.moved["n2"] = f"n2:{number}"
        else:
            view.members.pair = object()

    first = view.name()
    assert view.name() == first
    changed(2)
    second = view.name()
    assert second != first
    assert view.name() == second
    assert view.members.closed == []
    changed(3)
    third = view.name()
    await until(lambda: view.members.closed == [first], "no more than two are open")
    await view.channels.aclose()
    assert view.members.closed == [first, third, second]


async def test_who_is_no_member_has_no_channel_nor_has_anybody_for_one_that_is_alone() -> None:
    view = View()
    view.moved["n2"] = None
    for channels in (view.channels, Channels(None, lambda _: "n2:1")):
        with pytest.raises(Unavailable, match="n2"):
            channels.get("n2")

"""Events: what is written down of the roster, and how it is told, in pages."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.log.commands import ChangeControl
from discovery.control.observing import look
from discovery.control.records import changes
from tests.unit.discovery.control.control_world import THREE, Control, member, view_of

NOON = 1_700_000_000.0


async def test_what_happened_is_written_down_once() -> None:
    control = Control()
    await control.service.observe()
    await control.service.observe()
    assert control.messages == ["The cluster was created with 3 nodes."]
    control.view = view_of(
        member(1, "a", incarnation="new"),
        member(2, "b"),
        member(4, "c"),
        epoch=3,
        primary="node-2",
    )
    await control.service.observe()
    assert control.messages[1:] == [
        "The node node-1 was restarted.",
        "The node node-4 was added.",
        "The node node-3 was removed.",
        "Failover from node-1 to node-2 in epoch 3.",
    ]
    count = len(control.messages)
    control.view = THREE
    await control.service.observe()
    assert len(control.messages) == count, "an older view tells nothing new"
    control.view = view_of(member(1, "a"), epoch=9, primary=None)
    await control.service.observe()
    assert len(control.messages) == count, "nor does one without a primary"


async def test_two_that_look_at_once_write_it_down_once() -> None:
    control = Control()

    def the_other_was_first() -> None:
        control.feed.before_change = None
        other = Control()
        other.state.restore(control.state.snapshot())
        world = other.world()
        assert world is not None
        done = look(world)
        assert done.records is not None
        events = tuple(event.to_bytes() for event in done.events)
        written = changes(world.records, done.records)
        assert control.state.apply_command(ChangeControl("other", 0, written, events)).ok
        control.feed.hear()

    control.feed.before_change = the_other_was_first
    await control.service.observe()
    assert control.messages == ["The cluster was created with 3 nodes."]


async def seen(control: Control, **asked: Any) -> list[str]:
    found = await control.call("DescribeEvents", **asked)
    return [f"{one['SourceName']}@{one['Date'] - NOON:+g}" for one in found["Events"]]


async def test_they_are_found_by_time_and_source() -> None:
    control = Control()
    for at, name in ((-90_000, "old"), (-3600, "hour"), (-60, "minute")):
        control.now = NOON + at
        await control.call("CreateParameterGroup", ParameterGroupName=name)
    await control.call("CreateSubnetGroup", SubnetGroupName="main", SubnetIds=["subnet-1"])
    control.now = NOON
    assert await seen(control) == ["hour@-3600", "minute@-60", "main@-60"]
    assert await seen(control, Duration=10) == ["minute@-60", "main@-60"]
    assert len(await seen(control, Duration=14 * 24 * 60)) == 4
    assert await seen(control, SourceType="SUBNET_GROUP") == ["main@-60"]
    assert await seen(control, SourceType="PARAMETER_GROUP", SourceName="HOUR") == ["hour@-3600"]
    assert await seen(control, StartTime=NOON - 100_000, Duration=200) == ["old@-90000"]
    assert await seen(control, EndTime=NOON - 100) == ["hour@-3600"]
    assert await seen(control, StartTime=NOON - 4000, EndTime=NOON - 100) == ["hour@-3600"]
    assert await seen(control, StartTime="2023-11-14T21:13:20Z") == [
        "hour@-3600",
        "minute@-60",
        "main@-60",
    ]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"SourceName": "x"}, "InvalidParameterCombinationException"),
        ({"StartTime": 2, "EndTime": 1}, "InvalidParameterCombinationException"),
        ({"StartTime": 1, "EndTime": 2, "Duration": 1}, "InvalidParameterCombinationException"),
        ({"Duration": 0}, "InvalidParameterValueException"),
        ({"Duration": 20_161}, "InvalidParameterValueException"),
        ({"SourceType": "NODE"}, "InvalidParameterValueException"),
        ({"MaxResults": 0}, "InvalidParameterValueException"),
        ({"MaxResults": 101}, "InvalidParameterValueException"),
        ({"NextToken": "x"}, "InvalidParameterValueException"),
        ({"NextToken": "W10="}, "InvalidParameterValueException"),
    ],
)
async def test_a_question_is_refused(asked: dict[str, Any], error: str) -> None:
    assert (await Control().refused("DescribeEvents", **asked))[0] == error


async def test_pages_have_all_once_though_much_is_made_meanwhile() -> None:
    control = Control()
    control.now = NOON
    for number in range(7):
        await control.call("CreateParameterGroup", ParameterGroupName=f"g{number}")
    told: list[str] = []
    asked: dict[str, Any] = {"MaxResults": 3}
    while True:
        page = await control.call("DescribeParameterGroups", **asked)
        told += [one["ParameterGroupName"] for one in page["ParameterGroups"]]
        if "NextToken" not in page:
            break
        asked["NextToken"] = page["NextToken"]
        await control.call("DeleteParameterGroup", ParameterGroupName=told[-1])
        await control.call("CreateParameterGroup", ParameterGroupName=f"a{len(told)}")
    assert told == ["default.dax1.0", *(f"g{number}" for number in range(7))]
    first = await control.call("DescribeEvents", MaxResults=5)
    second = await control.call("DescribeEvents", MaxResults=100, NextToken=first["NextToken"])
    assert len(first["Events"] + second["Events"]) == len(control.messages)
    wrong = {"NextToken": first["NextToken"]}
    assert (await control.refused("DescribeParameterGroups", **wrong))[0] == (
        "InvalidParameterValueException"
    )

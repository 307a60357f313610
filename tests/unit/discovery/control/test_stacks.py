"""Stacks: resources that are noted as the tags of an ARN."""

from __future__ import annotations

import pytest

from discovery.control.records import Records
from discovery.control.stacks import STACKS_MAX
from tests.unit.discovery.control.control_world import ARN, Control

STACK = ARN.rpartition(":")[0] + ":stack/web"


def tag(key: str, value: str) -> dict[str, str]:
    return {"Key": key, "Value": value}


async def test_resources_are_noted_told_and_forgotten() -> None:
    control = Control()
    assert await control.call("ListTags", ResourceName=STACK) == {"Tags": []}
    notes = [tag("Cache", '{"name": "<>"}'), tag("Subnets", "x" * 2000)]
    assert await control.call("TagResource", ResourceName=STACK, Tags=notes) == {"Tags": notes}
    await control.call("TagResource", ResourceName=STACK, Tags=[tag("Cache", "other")])
    told = await control.call("UntagResource", ResourceName=STACK, TagKeys=["Subnets"])
    assert told == {"Tags": [tag("Cache", "other")]}
    assert (await control.call("ListTags", ResourceName=ARN))["Tags"] == []
    await control.call("UntagResource", ResourceName=STACK, TagKeys=["Cache"])
    assert "stack/web" not in control.state.control.by_name


async def test_records_come_back_as_they_went() -> None:
    control = Control()
    await control.call("TagResource", ResourceName=STACK, Tags=[tag("Cache", "v")])
    records = Records.of(control.state.control.by_name)
    assert records.stacks == {"web": {"Cache": "v"}}
    assert Records.of(records.by_name()) == records


@pytest.mark.parametrize(
    ("arn", "tags", "error"),
    [
        (STACK, [{"Value": "v"}], "InvalidParameterValueException"),
        (STACK, [tag("not-logical", "v")], "InvalidParameterValueException"),
        (STACK, [tag(f"R{n}", "v") for n in range(51)], "TagQuotaPerResourceExceeded"),
        (STACK, [tag(f"R{n}", "v" * 4000) for n in range(5)], "TagQuotaPerResourceExceeded"),
        (f"{STACK}/2", [tag("Cache", "v")], "InvalidARNFault"),
        (STACK.replace("eu-west-1", "us-east-1"), [tag("Cache", "v")], "InvalidARNFault"),
    ],
)
async def test_what_is_no_note_is_refused(arn: str, tags: list[dict[str, str]], error: str) -> None:
    name, _ = await Control().refused("TagResource", ResourceName=arn, Tags=tags)
    assert name == error


async def test_there_is_a_most_of_stacks() -> None:
    control = Control()
    for number in range(STACKS_MAX):
        note = [tag(f"R{n}", "€" * 500) for n in range(5)]
        await control.call("TagResource", ResourceName=f"{STACK}{number}", Tags=note)
    name, _ = await control.refused("TagResource", ResourceName=STACK, Tags=[tag("R", "v")])
    assert name == "TagQuotaPerResourceExceeded"


async def test_what_is_not_noted_is_not_forgotten() -> None:
    name, _ = await Control().refused("UntagResource", ResourceName=STACK, TagKeys=["Cache"])
    assert name == "TagNotFoundFault"

"""Plans: what is created, changed in place, replaced and deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from paceline_local.stacks.kinds import KINDS
from paceline_local.stacks.planning import Here, Live, Plan, make_plan, plan_of_end
from paceline_local.stacks.problems import TemplateError
from paceline_local.stacks.record import Note, note_of
from paceline_local.stacks.telling import as_json, drift_in, lines_of
from paceline_local.stacks.template import template_of
from paceline_local.stacks.template_text import read_template

HERE = Here("aws", "us-east-1", "000000000000", ("a", "b"))
ROLE = "arn:aws:iam::000000000000:role/any"
TEMPLATE = f"""
Resources:
  Cache:
    Type: AWS::DAX::Cluster
    Properties:
      ClusterName: Orders
      NodeType: dax.t3.small
      ReplicationFactor: "1"
      IAMRoleARN: {ROLE}
      ParameterGroupName: !Ref Lifetimes
      Tags: {{stage: test}}
  Lifetimes:
    Type: AWS::DAX::ParameterGroup
    Properties:
      ParameterNameValues: {{record-ttl-millis: 60000}}
Outputs:
  Url: {{Value: !GetAtt Cache.ClusterDiscoveryEndpointURL}}
"""
GROUP = KINDS["AWS::DAX::ParameterGroup"].generated_name("web", "Lifetimes", 0)
CLUSTER = ("AWS::DAX::Cluster", "orders")
PARAMETERS = ("AWS::DAX::ParameterGroup", GROUP)
LIVES: dict[tuple[str, str], Live] = {
    CLUSTER: Live(
        {
            "NodeType": "dax.t3.small",
            "ReplicationFactor": 1,
            "Description": "",
            "SubnetGroupName": "default",
            "SecurityGroupIds": [],
            "PreferredMaintenanceWindow": "sun:05:00-sun:06:00",
            "NotificationTopicARN": "",
            "ParameterGroupName": GROUP,
            "Tags": {"stage": "test"},
        },
        {"ClusterDiscoveryEndpointURL": "dax://127.0.0.2"},
    ),
    PARAMETERS: Live({"ParameterNameValues": {"record-ttl-millis": "60000"}}),
}


def planned(
    text: str = TEMPLATE,
    notes: Mapping[str, Note] | None = None,
    lives: Mapping[tuple[str, str], Live] | None = None,
) -> Plan:
    template = template_of(read_template(text.encode()).value)
    return make_plan(template, {}, "web", HERE, notes or {}, lives or {})


def noted() -> dict[str, Note]:
    """As the template's first plan has it, through its bytes."""
    steps = [step for step in planned().steps if step.note]
    return {s.id: note_of(s.note.to_text(), "web", s.id) for s in steps if s.note}


def with_live(key: tuple[str, str], **properties: Any) -> dict[tuple[str, str], Live]:
    live = LIVES[key]
    return {**LIVES, key: replace(live, properties={**live.properties, **properties})}


def told(plan: Plan) -> list[tuple[str, str, list[str]]]:
    return [(s.action, s.name, [one.property for one in s.differences]) for s in plan.steps]


def test_what_is_new_is_created_after_what_it_needs() -> None:
    plan = planned()
    assert told(plan) == [("create", GROUP, []), ("create", "orders", [])]
    assert "known once it is there" in str(plan.outputs["Url"])


def test_what_is_as_it_was_is_left_alone() -> None:
    plan = planned(notes=noted(), lives=LIVES)
    assert plan.steps == ()
    assert plan.outputs == {"Url": "dax://127.0.0.2"}
    assert lines_of(plan)[1] == "  no changes"


@pytest.mark.parametrize(
    ("before", "after", "properties"),
    [
        ('ReplicationFactor: "1"', "ReplicationFactor: 3", ["ReplicationFactor"]),
        ("{stage: test}", "[{Key: stage, Value: x}]", ["Tags"]),
        ("      Tags: {stage: test}\n", "", ["Tags"]),
        ("Tags:", "Description: new\n      Tags:", ["Description"]),
    ],
)
def test_what_changes_in_place(before: str, after: str, properties: list[str]) -> None:
    plan = planned(TEMPLATE.replace(before, after), noted(), LIVES)
    assert told(plan) == [("update", "orders", properties)]
    assert not drift_in(plan)


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ("dax.t3.small", "dax.r5.large", "orders"),
        ("role/any", "role/other", "orders"),
        ("Tags:", "SubnetGroupName: default2\n      Tags:", "orders"),
        ("Tags:", "SSESpecification: {SSEEnabled: true}\n      Tags:", "orders"),
        ("ClusterName: Orders", "ClusterName: more", "more"),
    ],
)
def test_what_needs_another_one(before: str, after: str, name: str) -> None:
    plan = planned(TEMPLATE.replace(before, after), noted(), LIVES)
    assert (plan.steps[0].action, plan.steps[0].name) == ("replace", name)
    ends = [("delete", "orders", [])] if name != "orders" else []
    assert told(plan)[1:] == ends


def test_a_generated_name_is_another_one_each_time() -> None:
    text = TEMPLATE.replace("      ClusterName: Orders\n", "")
    first = planned(text).steps[1].note
    assert first is not None
    live = LIVES[CLUSTER]
    lives = {**LIVES, ("AWS::DAX::Cluster", first.name): live}
    notes = {**noted(), "Cache": first}
    (step, end) = planned(text.replace("t3.small", "t3.medium"), notes, lives).steps
    assert (step.action, end.action, end.name) == ("replace", "delete", first.name)
    assert step.name != first.name
    assert len(step.name) <= 20
    assert step.note is not None
    again = {**notes, "Cache": step.note}
    now = {**LIVES, ("AWS::DAX::Cluster", step.name): live}
    third = planned(text.replace("t3.small", "r5.large"), again, now).steps[0]
    assert third.action == "replace"
    assert third.name not in (first.name, step.name)


def test_what_somebody_changed_is_told_and_changed_back() -> None:
    for key, changes in ((CLUSTER, {"ReplicationFactor": 2}), (CLUSTER, {"Tags": {}})):
        plan = planned(notes=noted(), lives=with_live(key, **changes))
        assert told(plan) == [("update", "orders", list(changes))]
        assert drift_in(plan)
        assert "was changed by hand" in lines_of(plan)[2]
    values = {"record-ttl-millis": "60000", "query-ttl-millis": "7"}
    plan = planned(notes=noted(), lives=with_live(PARAMETERS, ParameterNameValues=values))
    ((difference,),) = [step.differences for step in plan.steps]
    assert difference.after == {"record-ttl-millis": "60000", "query-ttl-millis": "300000"}


def test_what_somebody_deleted_is_made_again() -> None:
    plan = planned(notes=noted(), lives={PARAMETERS: LIVES[PARAMETERS]})
    assert told(plan) == [("create", "orders", [])]
    assert "not there any more" in plan.steps[0].why


def test_what_could_not_be_made_is_replaced() -> None:
    lives = {**LIVES, CLUSTER: replace(LIVES[CLUSTER], failed=True)}
    assert told(planned(notes=noted(), lives=lives)) == [("replace", "orders", [])]


def test_what_was_begun_is_gone_on_with() -> None:
    notes = {id: replace(note, begun=True) for id, note in noted().items()}
    assert told(planned(notes=notes)) == [("create", GROUP, []), ("create", "orders", [])]
    plan = planned(notes=notes, lives=LIVES)
    assert [step.action for step in plan.steps] == ["note", "note"]


def test_what_left_the_template_is_deleted_clusters_first() -> None:
    text = "Resources: {Role: {Type: 'AWS::IAM::Role'}}"
    plan = planned(text, noted(), LIVES)
    assert told(plan) == [("delete", "orders", []), ("delete", GROUP, [])]
    assert told(plan_of_end("web", noted(), LIVES)) == told(plan)
    kept = {id: replace(note, keeps=True) for id, note in noted().items()}
    assert [step.action for step in plan_of_end("web", kept, LIVES).steps] == ["forget", "forget"]
    assert [step.action for step in plan_of_end("web", noted(), {}).steps] == ["forget", "forget"]


def test_what_the_stack_has_not_made_is_left_alone() -> None:
    with pytest.raises(TemplateError, match="the cluster orders exists, and the stack web has not"):
        planned(lives={CLUSTER: LIVES[CLUSTER]})


def test_what_has_to_be_there_first() -> None:
    more = """
  Second:
    Type: AWS::DAX::SubnetGroup
    Properties: {Description: !GetAtt Cache.ClusterDiscoveryEndpointURL, SubnetIds: [subnet-1]}
Outputs:"""
    step = planned(TEMPLATE.replace("\nOutputs:", more)).steps[2]
    assert str(step.later) == "(Cache.ClusterDiscoveryEndpointURL, known once it is there)"


def test_what_is_not_ours_has_plausible_names() -> None:
    text = (
        TEMPLATE.replace(ROLE, "!GetAtt Role.Arn").replace(
            "Resources:",
            "Resources:\n  Role: {Type: 'AWS::IAM::Role', Properties: {RoleName: R, Path: /a/}}"
            "\n  Doors: {Type: 'AWS::EC2::SecurityGroup'}"
            "\n  Topic: {Type: 'AWS::SNS::Topic'}",
        )
        + "  Doors: {Value: !GetAtt Doors.GroupId}\n  Topic: {Value: !Ref Topic}\n"
    )
    plan = planned(text)
    assert {id for id, _ in plan.foreign} == {"Role", "Doors", "Topic"}
    note = plan.steps[-1].note
    assert note is not None
    assert note.properties["IAMRoleARN"] == "arn:aws:iam::000000000000:role/a/R"
    assert plan.outputs["Doors"].startswith("sg-")
    assert plan.outputs["Topic"].startswith("arn:aws:sns:us-east-1:000000000000:web-Topic-")
    assert json.loads(json.dumps(as_json(plan, applied=False, drifted=False)))["notOurs"]


@pytest.mark.parametrize(
    ("before", "after", "why", "path"),
    [
        ("NodeType:", "NodeTyp:", "no property NodeTyp", "Properties.NodeTyp"),
        ("      NodeType: dax.t3.small\n", "", "needs NodeType", "Properties"),
        ('"1"', "many", "whole number", "ReplicationFactor"),
        ("!Ref Lifetimes", "!Ref Nobody", "there is no Nobody", "ParameterGroupName"),
        ("{stage: test}", "{stage: [x]}", "map of texts", "Tags"),
        ("AWS::DAX::ParameterGroup", "AWS::DAX::Thing", "no type", "Lifetimes.Type"),
        ("!GetAtt Cache.ClusterDiscoveryEndpointURL", "!GetAtt Cache.X", "no attribute X", "Url"),
        ("{Value:", "{Valu:", "an output has a Value", "Url"),
        ("ClusterName: Orders", "ClusterName: !Ref Cache", "need each other", "Cache"),
        ("Outputs:", "Transform: x\nOutputs:", "not carried out", "Transform"),
        ("Outputs:", "Output:", "no section", "Output"),
        ("  Cache:", "  Cache-1:", "letters and digits", "Cache-1"),
        ("Type: AWS::DAX::Cluster", "Type: [x]", "has a Type", "Cache"),
        ("    Type: AWS::DAX::Cluster", "    DependsOn: No\n    Type: x", "no resource No", "Dep"),
        ("    Type: AWS::DAX::Cluster", "    DeletionPolicy: X\n    Type: x", "Retain", "Del"),
    ],
)
def test_what_cannot_be_applied(before: str, after: str, why: str, path: str) -> None:
    assert before in TEMPLATE
    located = read_template(TEMPLATE.replace(before, after).encode())
    with pytest.raises(TemplateError, match=why) as found:
        make_plan(template_of(located.value), {}, "web", HERE, {}, {})
    assert path in ".".join(map(str, found.value.path))
    assert located.line_of(found.value.path) > 1


def test_a_resource_keeps_its_type() -> None:
    notes = {**noted(), "Cache": noted()["Lifetimes"]}
    with pytest.raises(TemplateError, match="another logical id"):
        planned(notes=notes, lives=LIVES)


def test_conditions_leave_resources_out() -> None:
    text = TEMPLATE.replace("Resources:", "Conditions: {No: !Equals [a, b]}\nResources:").replace(
        "    Type: AWS::DAX::Cluster", "    Condition: No\n    Type: AWS::DAX::Cluster"
    )
    with pytest.raises(TemplateError, match="its condition does not hold"):
        planned(text)
    assert told(planned(text.partition("Outputs:")[0])) == [("create", GROUP, [])]

"""Who may take on which role, what the session is then, and AWS's words for what not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access.denied import Denied
from cluster.access.sessions import ROLES_MAX
from discovery.services.query import refusal as refusal_xml
from discovery.sts.parameters import assume_role, get_caller_identity, get_session_token
from paceline.access.policies.context import arn_of
from tests.unit.discovery.sts.sts_world import SECRET, World, role, user
from tests.unit.discovery.sts.test_service import refusal

ACCOUNT = "000000000000"
READER = f"arn:aws:iam::{ACCOUNT}:role/reader"
WRITER = f"arn:aws:iam::{ACCOUNT}:role/writer"


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(
    who: object, action: object = "sts:AssumeRole", effect: str = "Allow", **more: Any
) -> str:
    principal = who if who == "*" else {"AWS": who}
    return document({"Effect": effect, "Action": action, "Principal": principal, **more})


def own(action: object = "sts:AssumeRole", effect: str = "Allow", resource: str = "*") -> str:
    return document({"Effect": effect, "Action": action, "Resource": resource})


def equals(key: str, value: str) -> dict[str, Any]:
    return {"StringEquals": {key: value}}


SESSION_POLICY = own("dynamodb:GetItem")
ANN = arn_of("ann")
BOTH = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


class Taking:
    """Ann with these policies, and a role with this trust."""

    def __init__(self, trusted: str, *policies: str, **more: Any) -> None:
        self.users = [user("ann", 1, *policies)]
        self.roles = [role("reader", trusted, **more)]
        self.world = World(*self.users, roles=tuple(self.roles))

    def client(self) -> Any:
        return self.world.client(self.users[0][1].id)

    def assume(self, **more: Any) -> Any:
        return self.client().assume_role(**{"RoleArn": READER, "RoleSessionName": "job", **more})

    def refusal(self, **more: Any) -> tuple[int, str, str]:
        return refusal(self.assume, **more)

    def known(self, told: Any) -> Any:
        """What the session's key is to the cluster."""
        credentials = told["Credentials"]
        key = self.world.known.key(credentials["AccessKeyId"], credentials["SessionToken"])
        assert key is not None
        return key


def test_a_role_is_taken_on() -> None:
    taking = Taking(trust(ANN))
    told = taking.assume(DurationSeconds=900)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/job"
    (known,) = taking.roles
    assert told["AssumedRoleUser"] == {"Arn": arn, "AssumedRoleId": f"{known.id}:job"}
    assert "PackedPolicySize" not in told
    identity = taking.world.client_of(told["Credentials"]).get_caller_identity()
    assert (identity["Arn"], identity["UserId"]) == (arn, f"{known.id}:job")


@pytest.mark.parametrize(
    ("trusted", "policies", "may"),
    [
        (trust(ANN), (), True),
        (trust("*"), (), True),
        (trust(ACCOUNT), (), False),
        (trust(f"arn:aws:iam::{ACCOUNT}:root"), (), False),
        (trust(ACCOUNT), (own(),), True),
        (trust(f"arn:aws:iam::{ACCOUNT}:root"), (own(resource=READER),), True),
        (trust(ACCOUNT), (own(resource=WRITER),), False),
        (trust(arn_of("bob")), (own(),), False),
        (trust("123456789012"), (own(),), False),
        (trust(ANN, "sts:TagSession"), (own(),), False),
        (trust(ANN), (own(effect="Deny"),), False),
        (document(*json.loads(trust(ANN))["Statement"],
                  *json.loads(trust(ACCOUNT, effect="Deny"))["Statement"]), (own(),), False),
        (trust(ANN, Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}}), (), True),
        (trust(ANN, Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}}), (), False),
        (trust(ANN, Condition=equals("sts:RoleSessionName", "${aws:username}")), (), False),
        (trust(ANN, Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}), (), True),
        (trust(ANN, Condition={"Bool": {"aws:SecureTransport": "true"}}), (), False),
        (trust(ANN, Condition={"StringEquals": {"sts:ExternalId": "partner"}}), (), False),
    ],
)  # fmt: skip
def test_trust_and_own_policies_decide(trusted: str, policies: tuple[str, ...], may: bool) -> None:
    taking = Taking(trusted, *policies)
    if may:
        assert taking.assume()["Credentials"]
        return
    assert taking.refusal() == (
        403,
        "AccessDenied",
        f"User: {ANN} is not authorized to perform: sts:AssumeRole on resource: {READER}",
    )


def test_an_unknown_role_sounds_like_one_that_may_not_be_taken_on() -> None:
    taking = Taking(trust(arn_of("bob")))
    _, _, said = taking.refusal()
    assert taking.refusal(RoleArn=WRITER) == (403, "AccessDenied", said.replace(READER, WRITER))
    disabled = Taking(trust(ANN), disabled=True)
    assert disabled.refusal() == (403, "AccessDenied", said)


def test_the_trust_policys_conditions_see_what_is_asked() -> None:
    conditions = {
        "StringEquals": {
            "sts:ExternalId": "partner/1",
            "sts:RoleSessionName": "job",
            "sts:SourceIdentity": "ann@example.com",
            "aws:RequestTag/cost": "7",
        },
        "ForAllValues:StringEquals": {"aws:TagKeys": ["cost"], "sts:TransitiveTagKeys": ["cost"]},
    }
    taking = Taking(
        trust(
            ANN, ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"], Condition=conditions
        )
    )
    good: dict[str, Any] = {
        "ExternalId": "partner/1",
        "SourceIdentity": "ann@example.com",
        "Tags": [{"Key": "cost", "Value": "7"}],
        "TransitiveTagKeys": ["cost"],
    }
    told = taking.assume(**good)
    assert told["SourceIdentity"] == "ann@example.com"
    assert 0 < told["PackedPolicySize"] < 10
    acts_as = taking.known(told).acts_as
    assert acts_as.tags == {"cost": "7"}
    assert acts_as.known["aws:SourceIdentity"] == "ann@example.com"
    for changed in (
        {"ExternalId": "partner/2"},
        {"RoleSessionName": "other"},
        {"Tags": [{"Key": "cost", "Value": "8"}]},
        {"Tags": [{"Key": "cost", "Value": "7"}, {"Key": "more", "Value": "1"}]},
        {"SourceIdentity": "bob@example.com"},
    ):
        assert taking.refusal(**{**good, **changed})[1] == "AccessDenied"


@pytest.mark.parametrize(
    ("more", "action"),
    [
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "sts:TagSession"),
        ({"SourceIdentity": "ann"}, "sts:SetSourceIdentity"),
    ],
)
def test_tags_and_a_source_identity_need_their_actions(more: Any, action: str) -> None:
    assert Taking(trust(ANN)).refusal(**more) == (
        403,
        "AccessDenied",
        f"User: {ANN} is not authorized to perform: {action} on resource: {READER}",
    )
    assert Taking(trust(ANN, ["sts:AssumeRole", action])).assume(**more)["Credentials"]


def test_session_policies_come_with_the_session() -> None:
    taking = Taking(trust(ANN), policies=())
    told = taking.assume(Policy=SESSION_POLICY)
    assert told["PackedPolicySize"] > 0
    (policy,) = taking.known(told).session_policies
    assert policy.error is None
    assert taking.known(taking.assume()).session_policies is None


@pytest.mark.parametrize(
    "text", ["{", "{}", trust(ANN), own().replace("Allow", "allow"), "[]", "\u2028"]
)
def test_a_session_policy_that_is_none_is_malformed(text: str) -> None:
    status, code, said = Taking(trust(ANN)).refusal(Policy=text)
    assert (status, code) == (400, "MalformedPolicyDocument")
    assert said


def test_too_much_does_not_fit() -> None:
    tagging = Taking(trust(ANN, ["sts:AssumeRole", "sts:TagSession"]))
    tags = [{"Key": f"{n:02}", "Value": hashlib.sha512(bytes((n,))).hexdigest()} for n in range(50)]
    status, code, said = tagging.refusal(Tags=tags)
    assert (status, code) == (400, "PackedPolicyTooLarge")
    assert "% of allotted space" in said


def test_what_packs_to_little_is_no_token_that_never_opens() -> None:
    tagging = Taking(trust(ANN, ["sts:AssumeRole", "sts:TagSession"]))
    wide = "\U00020000"
    tags = [{"Key": f"{n:02}" + wide * 126, "Value": wide * 256} for n in range(50)]
    assert tagging.refusal(Tags=tags)[:2] == (400, "PackedPolicyTooLarge")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"RoleArn": None},
            "Value null at 'roleArn' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"RoleSessionName": "a b"},
            "Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy"
            r" regular expression pattern: [\w+=,.@-]*",
        ),
        ({"RoleSessionName": "a"}, "Member must have length greater than or equal to 2"),
        ({"RoleSessionName": "ä" * 65}, "2 validation errors detected: "),
        ({"RoleArn": "arn:aws:iam::123456789012:role/reader"}, "123456789012:role/reader is inv"),
        ({"RoleArn": f"arn:aws:iam::{ACCOUNT}:user/reader"}, "user/reader is invalid"),
        ({"DurationSeconds": 899}, "'durationSeconds' failed"),
        ({"DurationSeconds": 43_201}, "Member must have value less than or equal to 43200"),
        ({"DurationSeconds": 3_601}, "exceeds the MaxSessionDuration set for this role."),
        ({"Policy": "x" * 2_049}, "Member must have length less than or equal to 2048"),
        ({"ExternalId": "a"}, "'externalId' failed"),
        ({"SourceIdentity": "aws:x"}, "'sourceIdentity' failed"),
        ({"Tags": [{"Key": "a", "Value": "b"}, {"Key": "A", "Value": "c"}]}, "Duplicate tag keys"),
        ({"Tags": [{"Key": "aws:x", "Value": "b"}]}, "cannot begin with aws:"),
        ({"Tags": [{"Key": "a<", "Value": "b"}]}, "Value 'a<' at 'tags.1.member.key' failed"),
        ({"Tags": [{"Key": "a", "Value": "b" * 257}]}, "at 'tags.1.member.value' failed"),
        ({"Tags": [{"Key": "a"}]}, "a Key and a Value"),
        (
            {"Tags": [{"Key": f"{n}", "Value": ""} for n in range(51)]},
            "Value '51 entries' at 'tags' failed",
        ),
        ({"TransitiveTagKeys": ["a"]}, "The transitive tag key a is none of the session's tags."),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/X"}]}, "no managed policies"),
        ({"TokenCode": "123456"}, "no MFA devices"),
    ],
)
def test_what_cannot_be_is_invalid(more: dict[str, Any], said: str) -> None:
    taking = Taking(trust(ANN, ["sts:AssumeRole", "sts:TagSession"]))
    asked = {"RoleArn": READER, "RoleSessionName": "job", **more}
    asked = {name: value for name, value in asked.items() if value is not None}
    status, code, told = refusal(taking.client().assume_role, **asked)
    assert (status, code) == (400, "ValidationError")
    assert said in told


class Chain:
    """Ann takes on the reader, who may take on the writer."""

    def __init__(self, reader: str, writer: str, *more: str) -> None:
        self.ann = user("ann", 1)
        self.reader = role("reader", reader, policies=self._policies(*more), session_max_s=7_200)
        self.writer = role("writer", writer, session_max_s=7_200)
        self.world = World(self.ann, roles=(self.reader, self.writer))

    @staticmethod
    def _policies(*texts: str) -> tuple[Any, ...]:
        return user("x", 9, *texts)[0].policies

    def first(self, **more: Any) -> Any:
        client = self.world.client(self.ann[1].id, SECRET)
        told = client.assume_role(RoleArn=READER, RoleSessionName="one", **more)
        return self.world.client_of(told["Credentials"])


@pytest.mark.parametrize(
    ("writer", "policies", "may"),
    [
        (trust(READER), (), True),
        (trust(f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/one"), (), True),
        (trust(f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/two"), (), False),
        (trust(ANN), (), False),
        (trust(ACCOUNT), (own(),), True),
        (trust(READER, Condition={"ArnEquals": {"aws:PrincipalArn": READER}}), (), True),
        (trust(READER, Condition={"Null": {"aws:username": "false"}}), (), False),
    ],
)
def test_a_session_takes_on_another_role(writer: str, policies: tuple[str, ...], may: bool) -> None:
    client = Chain(trust(ANN), writer, *policies).first()
    asked = {"RoleArn": WRITER, "RoleSessionName": "two"}
    if may:
        told = client.assume_role(**asked)
        assert told["AssumedRoleUser"]["Arn"].endswith("assumed-role/writer/two")
    else:
        assert refusal(client.assume_role, **asked)[1] == "AccessDenied"


def test_what_a_chain_hands_on() -> None:
    chain = Chain(trust(ANN, BOTH), trust(READER, BOTH))
    first = chain.first(
        Tags=[{"Key": "Cost", "Value": "7"}, {"Key": "own", "Value": "1"}],
        TransitiveTagKeys=["Cost"],
        SourceIdentity="ann",
    )
    asked: dict[str, Any] = {"RoleArn": WRITER, "RoleSessionName": "two"}
    told = first.assume_role(**asked)
    assert told["SourceIdentity"] == "ann"
    credentials = told["Credentials"]
    key = chain.world.known.key(credentials["AccessKeyId"], credentials["SessionToken"])
    assert key is not None
    assert key.acts_as is not None
    assert key.acts_as.tags == {"Cost": "7"}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"Tags": [{"Key": "cost", "Value": "8"}]}, "InvalidParameterValue"),
        ({"SourceIdentity": "bob"}, "AccessDenied"),
        ({"DurationSeconds": 3_601}, "ValidationError"),
    ]
    for more, code in refused:
        assert refusal(first.assume_role, **asked, **more)[1] == code
    needs_tagging = Chain(trust(ANN, BOTH), trust(READER))
    first = needs_tagging.first(Tags=[{"Key": "a", "Value": "b"}], TransitiveTagKeys=["a"])
    assert "sts:TagSession" in refusal(first.assume_role, **asked)[2]


def test_a_chain_ends_with_any_of_its_links() -> None:
    chain = Chain(trust(ANN), trust(READER))
    told = chain.first().assume_role(RoleArn=WRITER, RoleSessionName="two")
    client = chain.world.client_of(told["Credentials"])
    client.get_caller_identity()
    ann, key = chain.ann
    both = (chain.reader, chain.writer)
    ended: list[Callable[[], None]] = [
        lambda: chain.world.know((ann, replace(key, disabled=True)), roles=both),
        lambda: chain.world.know((replace(ann, disabled=True), key), roles=both),
        lambda: chain.world.know(chain.ann, roles=(chain.writer,)),
        lambda: chain.world.know(
            chain.ann, roles=(replace(chain.reader, id="PLROANOTHERANOTHERAA"), chain.writer)
        ),
    ]
    for end in ended:
        end()
        assert refusal(client.get_caller_identity)[1] == "InvalidClientTokenId"
        chain.world.know(chain.ann, roles=both)
        client.get_caller_identity()


def test_a_chain_has_an_end() -> None:
    chain = Chain(trust([ANN, READER]), trust(READER))
    client = chain.first()
    for _ in range(ROLES_MAX - 1):
        told = client.assume_role(RoleArn=READER, RoleSessionName="one")
        client = chain.world.client_of(told["Credentials"])
    status, code, said = refusal(client.assume_role, RoleArn=READER, RoleSessionName="one")
    assert (status, code) == (403, "AccessDenied")
    assert str(ROLES_MAX) in said


def test_a_users_session_takes_on_roles_as_the_user() -> None:
    taking = Taking(trust(ANN), session_max_s=43_200)
    session = taking.client().get_session_token()["Credentials"]
    told = taking.world.client_of(session).assume_role(
        RoleArn=READER, RoleSessionName="job", DurationSeconds=43_200
    )
    assert told["AssumedRoleUser"]["Arn"].endswith("assumed-role/reader/job")


names = st.sampled_from(
    [
        *("RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "ExternalId"),
        *("SourceIdentity", "Tags.member.1.Key", "Tags.member.1.Value", "Tags.member.2.Key"),
        *("TransitiveTagKeys.member.1", "Tags", "Tags.member.x", "PolicyArns.member.1.arn"),
    ]
)
values = st.text(max_size=30) | st.sampled_from([READER, "job", "900", SESSION_POLICY, "cost"])


@given(st.dictionaries(names, values) | st.dictionaries(st.text(max_size=9), values))
def test_any_parameters_are_a_request_or_a_refusal(parameters: dict[str, str]) -> None:
    for read in (assume_role, get_session_token, get_caller_identity):
        try:
            read(parameters)
        except Denied as denied:
            told = refusal_xml(denied, "https://x/", "id")
            ElementTree.fromstring(told.body)
            if told.status != 400:
                raise

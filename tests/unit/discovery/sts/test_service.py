"""What boto3 gets of STS: credentials, and AWS's errors."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cluster.access.counting import Refusals
from cluster.access.denied import Denied
from cluster.access.member_key import member_key, member_principals
from cluster.access.principals import AccessKey
from cluster.settings import LimitsSettings
from cluster.transport.restraint import Restraint
from discovery.services import query
from discovery.services.callers import ServiceCallers
from discovery.services.query import Operation
from discovery.services.requests import ServiceRequest
from discovery.sts import parameters, service
from discovery.sts.service import Sts
from paceline.access.policies.context import arn_of
from paceline.clock import wall_time
from tests.unit.discovery.sts.sts_world import REGION, SECRET, World, user

ANN, ANNS = user("ann", 1)
DENIED, DENIEDS = user(
    "bob",
    2,
    json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": "sts:*", "Resource": "*"},
            ],
        }
    ),
)
INVALID_TOKEN = "The security token included in the request is invalid"


@pytest.fixture
def world() -> World:
    return World((ANN, ANNS), (DENIED, DENIEDS))


def refusal(call: Any, **arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    response = refused.value.response
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def test_a_user_gets_temporary_credentials_and_is_still_himself(world: World) -> None:
    told = world.client(ANNS.id).get_session_token(DurationSeconds=900)
    credentials = told["Credentials"]
    assert re.fullmatch(r"PLAS[A-Z2-7]{16}", credentials["AccessKeyId"])
    assert len(credentials["SecretAccessKey"]) == 40
    left = credentials["Expiration"] - datetime.now(UTC)
    assert timedelta(seconds=890) < left <= timedelta(seconds=900)
    identity = world.client_of(credentials).get_caller_identity()
    assert (identity["Arn"], identity["UserId"]) == (arn_of("ann"), "ann")
    assert identity["Account"] == "000000000000"
    default = world.client(ANNS.id).get_session_token()["Credentials"]["Expiration"]
    assert default - datetime.now(UTC) > timedelta(hours=11.9)


@pytest.mark.parametrize("region", [REGION, "us-east-1"])
def test_it_is_signed_for_the_region_or_for_the_endpoint_of_none(world: World, region: str) -> None:
    assert world.client(ANNS.id, region=region).get_caller_identity()["Arn"] == arn_of("ann")
    status, code, said = refusal(world.client(ANNS.id, region="eu-west-2").get_caller_identity)
    assert (status, code) == (403, "SignatureDoesNotMatch")
    assert said == "Credential should be scoped to a valid region, not 'eu-west-2'. "


def test_a_presigned_identity_is_one(world: World) -> None:
    url = world.client(ANNS.id).generate_presigned_url("get_caller_identity", HttpMethod="GET")
    target = url.removeprefix("http://127.0.0.1:8113")
    answer = world.answer("GET", target, ((b"Host", b"127.0.0.1:8113"),), b"")
    assert answer.status_code == 200, answer.content
    assert arn_of("ann").encode() in answer.content
    later = world.answer("GET", target + "&Extra=1", ((b"Host", b"127.0.0.1:8113"),), b"")
    assert later.status_code == 403


def test_faults_of_signatures_have_the_names_of_sts(world: World) -> None:
    assert refusal(world.client("PLAKNOBODY0000000000").get_caller_identity) == (
        403,
        "InvalidClientTokenId",
        INVALID_TOKEN + ".",
    )
    status, code, _ = refusal(world.client(ANNS.id, "x" * 40).get_caller_identity)
    assert (status, code) == (403, "SignatureDoesNotMatch")
    assert refusal(world.client(ANNS.id, token="x").get_caller_identity) == (
        403,
        "InvalidClientTokenId",
        INVALID_TOKEN,
    )
    answer = world.answer(
        "POST",
        "/",
        ((b"Content-Type", b"application/x-www-form-urlencoded"),),
        b"Action=GetCallerIdentity&Version=2011-06-15",
    )
    assert answer.status_code == 403
    assert b"<Code>MissingAuthenticationToken</Code>" in answer.content
    assert world.refusals.as_dict() == {
        "InvalidSignatureException": 1,
        "MissingAuthenticationTokenException": 1,
        "UnrecognizedClientException": 2,
    }


def test_temporary_credentials_end(world: World) -> None:
    credentials = world.client(ANNS.id).get_session_token(DurationSeconds=900)["Credentials"]
    client = world.client_of(credentials)
    client.get_caller_identity()
    other = {**credentials, "AccessKeyId": "PLAS" + "A" * 16}
    assert refusal(world.client_of(other).get_caller_identity)[1] == "InvalidClientTokenId"
    bare = world.client(credentials["AccessKeyId"], credentials["SecretAccessKey"])
    assert refusal(bare.get_caller_identity)[1] == "InvalidClientTokenId"
    world.know((ANN, replace(ANNS, disabled=True)))
    assert refusal(client.get_caller_identity)[1] == "InvalidClientTokenId"
    world.know((replace(ANN, disabled=True), ANNS))
    assert refusal(client.get_caller_identity)[1] == "InvalidClientTokenId"
    world.know((ANN, ANNS))
    client.get_caller_identity()


def test_they_expire(world: World) -> None:
    client = world.client(ANNS.id)
    world.ahead_s = -280.0  # what they are issued by is behind, and so they end early
    credentials = client.get_session_token(DurationSeconds=900)["Credentials"]
    world.ahead_s = 290.0
    world.client_of(credentials).get_caller_identity()
    world.ahead_s = -280.0 - 700.0
    status, code, _ = refusal(client.get_session_token)
    assert (status, code) == (403, "SignatureDoesNotMatch"), "not yet current"


def test_an_expired_token_is_told_by_its_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discovery.sts.parameters.SESSION_MIN_S", 1)
    credentials = world.client(ANNS.id).get_session_token(DurationSeconds=1)["Credentials"]
    world.ahead_s = 2.0
    assert refusal(world.client_of(credentials).get_caller_identity) == (
        403,
        "ExpiredToken",
        "The security token included in the request is expired",
    )


def test_a_session_gets_no_other_one_for_nothing(world: World) -> None:
    credentials = world.client(ANNS.id).get_session_token()["Credentials"]
    assert refusal(world.client_of(credentials).get_session_token) == (
        403,
        "AccessDenied",
        "Cannot call GetSessionToken with session credentials",
    )


def test_a_deny_counts_for_sessions_and_not_for_the_question_who_one_is(world: World) -> None:
    client = world.client(DENIEDS.id)
    assert client.get_caller_identity()["Arn"] == arn_of("bob")
    assert refusal(client.get_session_token) == (
        403,
        "AccessDenied",
        f"User: {arn_of('bob')} is not authorized to perform: sts:GetSessionToken on resource:"
        f" {arn_of('bob')}",
    )


def test_the_clusters_own_programs_get_no_sessions() -> None:
    world = World()
    known = member_principals(SECRET, "c")
    world.sts = Sts(
        known, ServiceCallers(known, REGION), world.tokens, Refusals(), world.sts._clock
    )
    key: AccessKey = member_key(SECRET, "c")
    assert refusal(world.client(key.id, key.secret).get_session_token)[1] == "AccessDenied"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (60, "greater than or equal to 900"),
        (129_601, "less than or equal to 129600"),
    ],
)
def test_durations_have_bounds(world: World, seconds: int, said: str) -> None:
    assert refusal(world.client(ANNS.id).get_session_token, DurationSeconds=seconds) == (
        400,
        "ValidationError",
        f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy"
        f" constraint: Member must have value {said}",
    )


def test_what_is_not_here_is_said(world: World) -> None:
    client = world.client(ANNS.id)
    status, code, said = refusal(
        client.get_session_token, SerialNumber="arn:aws:iam::0:mfa/ann", TokenCode="123456"
    )
    assert (status, code) == (400, "ValidationError")
    assert "no MFA devices" in said
    status, code, said = refusal(client.get_federation_token, Name="ann")
    assert (status, code) == (400, "InvalidAction")
    assert said == "Could not find operation GetFederationToken for version 2011-06-15"


@pytest.mark.parametrize("signs", [True, False])
def test_without_anybody_or_a_key_it_says_so(signs: bool) -> None:
    world = World((ANN, ANNS))
    world.sts = Sts(
        world.known,
        ServiceCallers(world.known, REGION) if signs else None,
        None,
        Refusals(),
        world.sts._clock,
    )
    status, code, said = refusal(world.client(ANNS.id).get_session_token)
    assert (status, code) == (403, "RegionDisabledException")
    wanted = "PACELINE_ACCESS__PRINCIPALS_KEY_FILE" if signs else "PACELINE_ACCESS__AUTHENTICATION"
    assert wanted in said


def test_who_asks_before_anybody_is_known_shall_try_again(world: World) -> None:
    heard: list[bool] = []
    world.sts = Sts(
        world.known,
        ServiceCallers(world.known, REGION, known=lambda: bool(heard)),
        world.tokens,
        Refusals(),
        world.sts._clock,
    )
    status, code, _ = refusal(world.client(ANNS.id).get_caller_identity)
    assert (status, code) == (503, "ServiceUnavailable")
    assert b"<Type>Receiver</Type>" in world.answers[-1].body
    heard.append(True)
    assert world.client(ANNS.id).get_caller_identity()["Arn"] == arn_of("ann")


def test_an_answer_has_the_form_of_sts(world: World) -> None:
    world.client(ANNS.id).get_caller_identity()
    assert world.answers[-1].body.decode() == (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n'
        f"  <GetCallerIdentityResult><Arn>{arn_of('ann')}</Arn><UserId>ann</UserId>"
        "<Account>000000000000</Account></GetCallerIdentityResult>\n"
        "  <ResponseMetadata><RequestId>00000000-1111-2222-3333-444444444444</RequestId>"
        "</ResponseMetadata>\n"
        "</GetCallerIdentityResponse>\n"
    )


def test_who_guesses_at_keys_is_kept_out_here_too() -> None:
    world = World(user("ann", 1))
    limits = LimitsSettings(exempt_addresses=[], wrong_signatures_per_minute=3)
    world.sts = Sts(
        world.known,
        ServiceCallers(world.known, REGION, Restraint(limits)),
        world.tokens,
        world.refusals,
        wall_time,
    )
    good = world.client("PLAK0000000000000001")
    assert good.get_caller_identity()["UserId"] == "ann"
    for _ in range(3):
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            world.client("PLAK0000000000000001", "w" * 40).get_caller_identity()
    with pytest.raises(ClientError, match="No other key is accepted from there"):
        world.client("PLAK0000000000000002").get_caller_identity()
    assert good.get_caller_identity()["UserId"] == "ann"


def test_who_asks_too_often_is_told_to_wait() -> None:
    world = World(user("ann", 1))
    limits = LimitsSettings(exempt_addresses=[], principal_requests_per_s=0.01)
    restraint = Restraint(limits)
    world.sts = Sts(
        world.known,
        ServiceCallers(world.known, REGION, restraint),
        world.tokens,
        world.refusals,
        wall_time,
    )
    client = world.client("PLAK0000000000000001")
    assert client.get_caller_identity()["UserId"] == "ann"
    assert refusal(client.get_caller_identity)[1] == "ThrottlingException"
    assert restraint.refused >= 1


def test_a_long_form_is_not_read_for_whom_nobody_knows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def operation_of(request: ServiceRequest) -> Operation:
        read.append(request)
        return query.operation_of(request)

    monkeypatch.setattr(service, "operation_of", operation_of)
    long = {
        "RoleArn": "arn:aws:iam::000000000000:role/reader",
        "RoleSessionName": "one",
        "Policy": " " * 3_000,
    }
    stranger = world.client("PLAK9999999999999999")
    assert refusal(lambda: stranger.assume_role(**long))[1] == "InvalidClientTokenId"
    assert read == []
    assert refusal(stranger.get_caller_identity)[1] == "InvalidClientTokenId"
    known = world.client(ANNS.id)
    assert refusal(lambda: known.assume_role(**long))[1] == "ValidationError"
    assert len(read) == 2


def test_a_deny_may_depend_on_the_request() -> None:
    statements = [
        {
            "Effect": "Deny",
            "Action": "sts:*",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    carl, key = user("carl", 3, json.dumps({"Version": "2012-10-17", "Statement": statements}))
    client = World((carl, key)).client(key.id)
    assert refusal(client.get_session_token)[1] == "AccessDenied"


@pytest.mark.parametrize(
    "name", ["Policy.member.1", "Tags.1.Key", "ExternalId.x", "Tags", "TransitiveTagKeys.1"]
)
def test_what_could_narrow_a_session_is_understood_or_refused(name: str) -> None:
    arn = "arn:aws:iam::000000000000:role/reader"
    asked = {"RoleArn": arn, "RoleSessionName": "one"}
    assert parameters.assume_role(asked).role == "reader"
    with pytest.raises(Denied, match="is no parameter of this operation"):
        parameters.assume_role({**asked, name: "x"})

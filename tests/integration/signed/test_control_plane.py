"""The control plane where everybody has to sign: keys, policies and sessions decide there, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from paceline_local.testing import LocalCluster
from tests.integration.signed.test_principals import Key, new_key
from tests.integration.test_control_plane import REGION, control, url_of

ARN = f"arn:aws:dax:{REGION}:000000000000:cache/paceline"


def error_of(call: Any, **asked: Any) -> str:
    try:
        call(**asked)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_keys_policies_and_sessions_decide(cluster: LocalCluster, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    allow = {"Effect": "Allow", "Action": ["dax:Describe*", "dax:TagResource"], "Resource": "*"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    key = new_key(cluster, "add", "control-watcher", "--policy", str(policy))
    url = url_of(cluster)
    client = control(url, key)
    assert client.describe_clusters()["Clusters"][0]["ClusterArn"] == ARN
    tag = {"ResourceName": ARN, "Tags": [{"Key": "team", "Value": "blue"}]}
    assert client.tag_resource(**tag)["Tags"] == tag["Tags"]
    denied = "AccessDeniedException"
    assert error_of(client.list_tags, ResourceName=ARN) == denied
    assert error_of(client.reboot_node, ClusterName="paceline", NodeId="node-1") == denied
    assert error_of(control(url).describe_clusters) == "UnrecognizedClientException"
    forged = Key(key.access_key, "x" * 40, None)
    assert error_of(control(url, forged).describe_clusters) == "InvalidSignatureException"
    sts = boto3.client(
        "sts",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
    )
    session = sts.get_session_token(DurationSeconds=900)["Credentials"]
    temporary = boto3.client(
        "dax",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    assert temporary.describe_events()["Events"]
    assert error_of(temporary.list_tags, ResourceName=ARN) == denied

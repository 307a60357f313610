"""Whether this environment's credentials are let in, and to a table, by the way that an application
takes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from paceline.auth.posts import signed_post
from paceline.client.signing import credentials_of, region_of
from paceline.client.tls import Tls
from paceline.clock import utc_now
from paceline.errors import PacelineError
from paceline_local.doctor.asking import ASK_S, http_connection
from paceline_local.doctor.findings import Finding, of_refusal, ok, problem, skipped
from paceline_local.doctor.target import Target

_BODY_BYTES_MAX = 1024 * 1024


def of_environment(environment: Mapping[str, str]) -> Finding:
    found = credentials_of(environment)
    if found is not None:
        token = " and a session token" if found.token else ""
        return ok(
            "credentials",
            f"the environment has the access key {found.access_key}{token}, and the region"
            f" {region_of(environment)}",
        )
    profile = environment.get("AWS_PROFILE")
    hint = f"; the profile {profile} is not looked at by this command" if profile else ""
    return skipped("credentials", f"there are none in AWS_ACCESS_KEY_ID and its kin{hint}")


def by_sdk(
    target: Target, ca: str | None, environment: Mapping[str, str], table: str | None
) -> Finding:
    """Through the SDK, with the environment's credentials."""
    from paceline.client.sync.client import Client  # noqa: PLC0415  half a second

    asked, words = _asked(table)
    keys = credentials_of(environment)
    signing = None if keys is None else lambda: keys
    region = region_of(environment)
    try:
        with Client(target.url, ca_bundle=ca, credentials=signing, region_name=region) as opened:
            client = opened.with_options(deadline_s=ASK_S)
            if table is None:
                client.list_tables(Limit=1)
            else:
                client.describe_table(TableName=table)
    except Exception as error:  # botocore's, where that is installed, or ours
        name, message = _error_of(error)
        if name:
            return of_refusal("permission", name, message)
        if not isinstance(error, PacelineError):
            raise
        return problem("permission", f"{asked}: {error}", "see the findings above")
    return ok("permission", words)


def by_http(
    target: Target, tls: Tls | None, environment: Mapping[str, str], table: str | None
) -> Finding:
    asked, words = _asked(table)
    body = json.dumps({"Limit": 1} if table is None else {"TableName": table}).encode()
    headers = {
        "Host": target.address,
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"DynamoDB_20120810.{asked}",
    }
    found = credentials_of(environment)
    if found is not None:
        region = region_of(environment)
        headers = signed_post("/", headers, body, found, region, "dynamodb", utc_now())
    connection = http_connection(target, tls)
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        status, text = answer.status, answer.read(_BODY_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        said = str(error) or type(error).__name__
        return problem("permission", f"{asked} got no answer: {said}", "see the findings above")
    finally:
        connection.close()
    if status == http.client.OK:
        return ok("permission", words)
    name, message = _json_error(text)
    return of_refusal("permission", name or str(status), message)


def _asked(table: str | None) -> tuple[str, str]:
    if table is None:
        return "ListTables", "tables may be listed (name one with --table to look at that)"
    return "DescribeTable", f"the table {table} is there, and may be described"


def _error_of(error: Exception) -> tuple[str, str]:
    """Name and message of an answer, whichever class has it; both empty if there was none."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        told = response.get("Error") or {}
        return str(told.get("Code") or ""), str(told.get("Message") or "")
    return str(getattr(error, "name", "") or ""), str(getattr(error, "message", "") or "")


def _json_error(text: bytes) -> tuple[str, str]:
    try:
        told = json.loads(text)
        name = str(told["__type"]).rpartition("#")[2]
        return name, str(told.get("message") or told.get("Message") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", text[:200].decode("utf-8", "replace")

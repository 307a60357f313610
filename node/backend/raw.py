"""Requests that are sent on as they came (``node.raw_requests``): signed anew, not understood."""

from __future__ import annotations

import json
from binascii import crc32
from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.parsers import ResponseParserError

from paceline.errors import DynamoDBError
from paceline.types import Params, Result

CONTENT_TYPE = "application/x-amz-json-1.0"
HTTP_OK = 200
NOTHING_SAID = (b"", b'""')
"""What DynamoDB, and dynalite, say to TagResource and UntagResource."""


async def send_raw(client: Any, params: Params) -> Result:
    """One attempt by an aiobotocore client's own signer and session.

    DynamoDBError for an error answer; what the session raises; ResponseParserError for an answer
    that cannot be DynamoDB's.
    """
    target = params["Target"]
    query = f"?{params['Query']}" if params.get("Query") else ""
    request = AWSRequest(
        method="POST",
        url=client.meta.endpoint_url.rstrip("/") + "/" + query,
        headers={"X-Amz-Target": target, "Content-Type": CONTENT_TYPE, **params.get("Headers", {})},
        data=params["Body"],
    )
    if "Headers" not in params:
        await client._request_signer.sign(target.rpartition(".")[2], request)
    response = await client._endpoint.http_session.send(request.prepare())
    body: bytes = await response.content
    checksum = response.headers.get("x-amz-crc32")
    if checksum is not None and checksum != str(crc32(body)):
        raise ResponseParserError("the answer does not have the checksum that it names")
    request_id = response.headers.get("x-amzn-requestid")
    if response.status_code == HTTP_OK:
        stripped = body.strip()
        if stripped not in NOTHING_SAID and not (
            stripped.startswith(b"{") and stripped.endswith(b"}")
        ):
            raise ResponseParserError("the answer with status 200 is not a JSON object")
        return {"Body": body, "RequestId": request_id}
    raise error_of(response.status_code, body, request_id)


def error_of(status: int, body: bytes, request_id: str | None) -> DynamoDBError:
    try:
        details = json.loads(body)
    except ValueError:
        details = None
    if not isinstance(details, dict):
        details = {}
    name = str(details.get("__type") or "").rpartition("#")[2].partition(":")[0]
    message = details.get("message") or details.get("Message") or ""
    return DynamoDBError(
        name,
        str(message),
        status,
        request_id=request_id,
        reasons=details.get("CancellationReasons"),
        body=body,
    )

"""Sends requests as they came: signed anew, not understood.

Their form is that of ``node.requests.reach``.
"""

from __future__ import annotations

from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.parsers import ResponseParserError

from cluster.transport.large_work import LargeWork
from node.backend.bodies import ANSWER_INLINE_BYTES_MAX
from node.tracing.spans import hand_on
from node.values import json_slices
from paceline.dynamodb_answers import CONTENT_TYPE, name_of_error
from paceline.errors import DynamoDBError
from paceline.types import Params, Result

HTTP_OK = 200


async def send_raw(client: Any, params: Params, work: LargeWork) -> Result:
    """Makes one attempt with an aiobotocore client's own signer and session.

    Raises DynamoDBError for an error answer, whatever the session raises, also for an answer that
    is not DynamoDB's, and ResponseParserError for an answer with status 200 that is not whole JSON.
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
    hand_on(request.headers)
    response = await client._endpoint.http_session.send(request.prepare())
    body: bytes = await response.content
    request_id = response.headers.get("x-amzn-requestid")
    if response.status_code == HTTP_OK:
        if body.strip():
            await work.run_if(len(body) > ANSWER_INLINE_BYTES_MAX, lambda: _check(body))
        return {"Body": body, "RequestId": request_id}
    large = len(body) > ANSWER_INLINE_BYTES_MAX
    status = response.status_code
    raise await work.run_if(large, lambda: error_of(status, body, request_id))


def _check(body: bytes) -> None:
    try:
        json_slices.check(body)
    except (ValueError, RecursionError) as error:
        raise ResponseParserError("the answer with status 200 is not JSON") from error


def error_of(status: int, body: bytes, request_id: str | None) -> DynamoDBError:
    """Returns the error in ``body``, which ``foreign_body`` let pass."""
    details = json_slices.loads(body)
    message = details.get("message") or details.get("Message") or ""
    return DynamoDBError(
        name_of_error(details["__type"]),
        str(message),
        status,
        request_id=request_id,
        reasons=details.get("CancellationReasons"),
        body=body,
    )

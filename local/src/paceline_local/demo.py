"""The demo table: made straight on the embedded DynamoDB, before any node reads it.

What an application installs has no AWS SDK, so the two calls are written out: DynamoDB's JSON
protocol, signed with placeholders, which an embedded DynamoDB does not check.
"""

import json
from typing import Any
from urllib.parse import urlsplit

from paceline.errors import ConfigError, Unavailable
from paceline.types import Item
from paceline_local.probes import http_request

TABLE = "Users"
USERS: tuple[Item, ...] = (
    {"id": {"S": "ada"}, "name": {"S": "Ada Lovelace"}, "born": {"N": "1815"}},
    {"id": {"S": "alan"}, "name": {"S": "Alan Turing"}, "born": {"N": "1912"}},
    {"id": {"S": "barbara"}, "name": {"S": "Barbara Liskov"}, "born": {"N": "1939"}},
    {"id": {"S": "edsger"}, "name": {"S": "Edsger W. Dijkstra"}, "born": {"N": "1930"}},
    {"id": {"S": "grace"}, "name": {"S": "Grace Hopper"}, "born": {"N": "1906"}},
    {"id": {"S": "leslie"}, "name": {"S": "Leslie Lamport"}, "born": {"N": "1941"}},
)

CALL_S = 10.0


def make_demo_table(endpoint: str, region: str) -> bool:
    """Make table Users with its items; False if it was there already and is left as it is."""
    status, answer = call(
        endpoint,
        region,
        "CreateTable",
        {
            "TableName": TABLE,
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    if status != 200:
        if str(answer.get("__type", "")).endswith("ResourceInUseException"):
            return False
        raise Unavailable(f"the demo table cannot be made at {endpoint}: {answer or status}")
    status, answer = call(
        endpoint,
        region,
        "BatchWriteItem",
        {"RequestItems": {TABLE: [{"PutRequest": {"Item": user}} for user in USERS]}},
    )
    if status != 200:
        raise Unavailable(f"the demo items cannot be written at {endpoint}: {answer or status}")
    return True


def check_endpoint(endpoint: str, region: str) -> None:
    """ConfigError unless something that speaks DynamoDB's protocol answers at ``endpoint``.

    An answer that refuses the placeholder signature will do: credentials are the nodes' matter.
    """
    try:
        status, answer = call(endpoint, region, "ListTables", {"Limit": 1})
    except Unavailable as error:
        raise ConfigError(
            f"DynamoDB cannot be reached: {error}. Start it, or correct --dynamodb"
        ) from error
    if status != 200 and "__type" not in answer:
        raise ConfigError(
            f"{endpoint} answers {status}, but not as DynamoDB does: correct --dynamodb"
        )


def call(
    endpoint: str, region: str, operation: str, request: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """(HTTP status, JSON answer) of one DynamoDB operation."""
    scope = f"paceline/20260101/{region}/dynamodb/aws4_request"
    status, body = http_request(
        "POST",
        f"{endpoint.rstrip('/')}/",
        body=json.dumps(request).encode(),
        headers={
            "Host": urlsplit(endpoint).netloc,
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": (
                f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, "
                f"Signature={'0' * 64}"
            ),
        },
        timeout_s=CALL_S,
    )
    try:
        answer = json.loads(body) if body else {}
    except ValueError:
        answer = {}
    return status, answer if isinstance(answer, dict) else {}

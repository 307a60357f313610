"""Every class of DynamoDB error through an official client: what the application is told, and how
often DynamoDB was asked.

A suite that modules run on a client of theirs: a class of theirs inherits it, and they define the
fixtures ``client`` (boto3's low-level methods) and ``tries``: how many calls the client makes for
the name of an error that says 'nothing happened'.
"""

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.fake_dynamodb import TABLE, FakeDynamoDB
from tests.support.flaky_http import Answer, Behaviour, Close, Hang, error
from tests.support.twins import method_of

_numbers = itertools.count(1)

KEY = {"id": {"S": "key"}}
UPDATE = {
    "TableName": TABLE,
    "Key": KEY,
    "UpdateExpression": "ADD n :n",
    "ExpressionAttributeValues": {":n": {"N": "1"}},
}
WRITES: dict[str, dict[str, Any]] = {
    "PutItem": {"TableName": TABLE, "Item": {**KEY, "v": {"N": "1"}}},
    "UpdateItem": UPDATE,
    "DeleteItem": {"TableName": TABLE, "Key": KEY},
    "BatchWriteItem": {"RequestItems": {TABLE: [{"PutRequest": {"Item": KEY}}]}},
}
TRANSACTION = {"TransactItems": [{"Update": UPDATE}]}

# Those that DynamoDB raises for data operations and that say: nothing has changed.
REFUSALS = {
    "ConditionalCheckFailedException": "The conditional request failed",
    "ValidationException": "Invalid UpdateExpression: Syntax error",
    "ItemCollectionSizeLimitExceededException": "Collection size exceeded",
    "ResourceNotFoundException": "Requested resource not found",
    "AccessDeniedException": "User is not authorized",
    "TransactionConflictException": "Transaction is ongoing for the item",
    "LimitExceededException": "Too many operations",
    "ResourceInUseException": "The table is being changed",
    "UnrecognizedClientException": "The security token is invalid",
    "SomeNewException": "Never heard of it",
}
SILENCES: dict[str, Behaviour] = {
    "no answer": Hang(),
    "closed instead of an answer": Close(),
    "closed in an answer": Close(mid_response=True),
    "500": error("InternalServerError", 500),
    "503": error("ServiceUnavailable", 503),
    "a proxy's 502": Answer(None, 502, raw=b"<html>Bad Gateway</html>"),
    "not JSON": Answer(None, 200, raw=b"<html>Welcome</html>"),
}


def failure(client: Any, operation: str, params: dict[str, Any]) -> ClientError:
    with pytest.raises(ClientError) as caught:
        # Copied: the Python client leaves notes of its own in what it is given.
        getattr(client, method_of(operation))(**copy.deepcopy(params))
    return caught.value


def status_of(error: ClientError) -> int | None:
    metadata: Any = error.response.get("ResponseMetadata", {})
    status: int | None = metadata.get("HTTPStatusCode")
    return status


class ErrorsSuite:
    """The fixtures ``client`` and ``tries`` are the module's."""

    @pytest.fixture
    def unknown_code(self) -> str:
        """The code of the error that says: the outcome is not known."""
        return "InternalServerError"

    @pytest.mark.parametrize("name", REFUSALS)
    def test_a_refusal_arrives_as_it_is(
        self, client: Any, fake: FakeDynamoDB, tries: Callable[[str], int], name: str
    ) -> None:
        fake.behaviour = error(name, 400, REFUSALS[name])
        asked = fake.counting("PutItem")
        caught = failure(client, "PutItem", WRITES["PutItem"])
        assert caught.response["Error"] == {"Code": name, "Message": REFUSALS[name]}
        assert status_of(caught) == 400
        assert asked() == tries(name)

    @pytest.mark.parametrize("name", SILENCES)
    @pytest.mark.parametrize("operation", WRITES)
    def test_a_write_of_unknown_outcome_is_made_once(
        self, client: Any, fake: FakeDynamoDB, operation: str, name: str, unknown_code: str
    ) -> None:
        fake.behaviour = SILENCES[name]
        asked = fake.counting(operation)
        caught = failure(client, operation, WRITES[operation])
        assert unknown_code in caught.response["Error"]["Code"]
        assert status_of(caught) is None
        assert asked() == 1

    @pytest.mark.parametrize("name", SILENCES)
    def test_a_transaction_of_unknown_outcome_is_repeated_under_its_token_only(
        self, client: Any, fake: FakeDynamoDB, name: str, unknown_code: str
    ) -> None:
        fake.behaviour = SILENCES[name]
        before = len(fake.arrived("TransactWriteItems"))
        caught = failure(client, "TransactWriteItems", TRANSACTION)
        assert unknown_code in caught.response["Error"]["Code"]
        sent = fake.arrived("TransactWriteItems")[before:]
        assert sent
        assert len({params["ClientRequestToken"] for params in sent}) == 1

    @pytest.mark.parametrize("name", ["closed instead of an answer", "500", "a proxy's 502"])
    def test_a_read_is_repeated_until_it_is_answered(
        self, client: Any, fake: FakeDynamoDB, name: str
    ) -> None:
        wanted = {"id": {"S": f"read {next(_numbers)}"}}
        item = {**wanted, "v": {"S": "there"}}
        asked = fake.counting("GetItem")
        failing = iter([SILENCES[name]] * 3)
        fake.behaviours(lambda: next(failing, Answer({"Item": item})))
        found = client.get_item(TableName=TABLE, Key=wanted)
        assert found["Item"] == item
        assert asked() == 4

    def test_throttling_is_waited_for(self, client: Any, fake: FakeDynamoDB) -> None:
        throttled = error("ProvisionedThroughputExceededException", 400, "slow down")
        answers = iter([throttled] * 3)
        fake.behaviours(lambda: next(answers, Answer()))
        asked = fake.counting("PutItem")
        client.put_item(**WRITES["PutItem"])
        assert asked() == 4

    def test_a_cancelled_transaction_names_its_reasons(
        self, client: Any, fake: FakeDynamoDB, tries: Callable[[str], int]
    ) -> None:
        reasons = [{"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}]
        fake.behaviour = error(
            "TransactionCanceledException",
            400,
            "Transaction cancelled, see [ConditionalCheckFailed]",
            CancellationReasons=reasons,
        )
        asked = fake.counting("TransactWriteItems")
        caught = failure(client, "TransactWriteItems", TRANSACTION)
        assert caught.response["Error"]["Code"] == "TransactionCanceledException"
        assert asked() == tries("TransactionCanceledException")

    def test_after_all_that_a_write_succeeds(self, client: Any, fake: FakeDynamoDB) -> None:
        fake.behaviour = Answer()
        asked = fake.counting("PutItem")
        client.put_item(**WRITES["PutItem"])
        assert asked() == 1

import pytest

from node.backend.retry import ErrorMeaning, meaning_of
from node.tables.schemas import doubts_table


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("ConditionalCheckFailedException", 400, ErrorMeaning.REFUSED),
        ("ValidationException", 400, ErrorMeaning.REFUSED),
        ("ResourceNotFoundException", 400, ErrorMeaning.REFUSED),
        ("ItemCollectionSizeLimitExceededException", 400, ErrorMeaning.REFUSED),
        ("LimitExceededException", 400, ErrorMeaning.REFUSED),
        ("TransactionConflictException", 400, ErrorMeaning.REFUSED),
        ("TransactionCanceledException", 400, ErrorMeaning.REFUSED),
        ("IdempotentParameterMismatchException", 400, ErrorMeaning.REFUSED),
        ("ReplicatedWriteConflictException", 409, ErrorMeaning.REFUSED),
        ("AccessDeniedException", 400, ErrorMeaning.REFUSED),
        ("UnrecognizedClientException", 400, ErrorMeaning.REFUSED),
        ("ExpiredTokenException", 400, ErrorMeaning.REFUSED),
        ("SomethingNewException", 403, ErrorMeaning.REFUSED),
        ("413", 413, ErrorMeaning.FAILED),
        ("ProvisionedThroughputExceededException", 400, ErrorMeaning.THROTTLED),
        ("ThrottlingException", 400, ErrorMeaning.THROTTLED),
        ("RequestLimitExceeded", 400, ErrorMeaning.THROTTLED),
        ("TransactionInProgressException", 400, ErrorMeaning.IN_PROGRESS),
        ("InternalServerError", 500, ErrorMeaning.FAILED),
        ("ServiceUnavailable", 503, ErrorMeaning.FAILED),
        ("ThrottlingException", 503, ErrorMeaning.FAILED),
        ("504", 504, ErrorMeaning.FAILED),
        ("RequestTimeoutException", 408, ErrorMeaning.FAILED),
        ("404", 404, ErrorMeaning.FAILED),
        ("", 400, ErrorMeaning.FAILED),
        ("Unknown", 400, ErrorMeaning.FAILED),
        ("ValidationException", None, ErrorMeaning.FAILED),
    ],
)
def test_meanings(name: str, status: int | None, expected: ErrorMeaning) -> None:
    assert meaning_of(name, status) is expected


@pytest.mark.parametrize(
    ("meaning", "unchanged", "repeat_read"),
    [
        (ErrorMeaning.REFUSED, True, False),
        (ErrorMeaning.THROTTLED, True, True),
        (ErrorMeaning.IN_PROGRESS, False, True),
        (ErrorMeaning.FAILED, False, True),
    ],
)
def test_what_an_answer_allows(meaning: ErrorMeaning, unchanged: bool, repeat_read: bool) -> None:
    assert meaning.unchanged is unchanged
    assert meaning.repeat_read is repeat_read


@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        ("ResourceNotFoundException", "Requested resource not found", True),
        ("ValidationException", "The provided key element does not match the schema", True),
        (
            "ValidationException",
            "One or more parameter values were invalid: Missing the key id in the item",
            True,
        ),
        (
            "ValidationException",
            "One or more parameter values were invalid: Type mismatch for key id expected: S "
            "actual: N",
            True,
        ),
        ("ValidationException", "Invalid UpdateExpression: Syntax error", False),
        ("ConditionalCheckFailedException", "The conditional request failed", False),
    ],
)
def test_errors_that_throw_doubt_on_a_table(name: str, message: str, expected: bool) -> None:
    assert doubts_table(name, message) is expected

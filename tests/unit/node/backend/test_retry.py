import pytest

from node.backend.retry import Verdict, verdict
from node.tables.schemas import doubts_table


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("ConditionalCheckFailedException", 400, Verdict.REFUSED),
        ("ValidationException", 400, Verdict.REFUSED),
        ("ResourceNotFoundException", 400, Verdict.REFUSED),
        ("ItemCollectionSizeLimitExceededException", 400, Verdict.REFUSED),
        ("LimitExceededException", 400, Verdict.REFUSED),
        ("TransactionConflictException", 400, Verdict.REFUSED),
        ("TransactionCanceledException", 400, Verdict.REFUSED),
        ("IdempotentParameterMismatchException", 400, Verdict.REFUSED),
        ("ReplicatedWriteConflictException", 409, Verdict.REFUSED),
        ("AccessDeniedException", 400, Verdict.REFUSED),
        ("UnrecognizedClientException", 400, Verdict.REFUSED),
        ("ExpiredTokenException", 400, Verdict.REFUSED),
        ("SomethingNewException", 403, Verdict.REFUSED),
        ("413", 413, Verdict.FAILED),
        ("ProvisionedThroughputExceededException", 400, Verdict.THROTTLED),
        ("ThrottlingException", 400, Verdict.THROTTLED),
        ("RequestLimitExceeded", 400, Verdict.THROTTLED),
        ("TransactionInProgressException", 400, Verdict.IN_PROGRESS),
        ("InternalServerError", 500, Verdict.FAILED),
        ("ServiceUnavailable", 503, Verdict.FAILED),
        ("ThrottlingException", 503, Verdict.FAILED),
        ("504", 504, Verdict.FAILED),
        ("RequestTimeoutException", 408, Verdict.FAILED),
        ("404", 404, Verdict.FAILED),
        ("", 400, Verdict.FAILED),
        ("Unknown", 400, Verdict.FAILED),
        ("ValidationException", None, Verdict.FAILED),
    ],
)
def test_verdicts(name: str, status: int | None, expected: Verdict) -> None:
    assert verdict(name, status) is expected


@pytest.mark.parametrize(
    ("meaning", "unchanged", "repeat_read"),
    [
        (Verdict.REFUSED, True, False),
        (Verdict.THROTTLED, True, True),
        (Verdict.IN_PROGRESS, False, True),
        (Verdict.FAILED, False, True),
    ],
)
def test_what_a_verdict_allows(meaning: Verdict, unchanged: bool, repeat_read: bool) -> None:
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

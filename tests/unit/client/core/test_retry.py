"""What follows an attempt, by kind of request and of failure."""

from collections.abc import Callable

import pytest

from paceline.client.core.breaker import OPEN_FIRST_S
from paceline.client.core.budget import RETRIES_MAX
from paceline.client.core.retry import (
    DECISIVE,
    LOOK_S,
    PATIENCE,
    READ_ERRORS_MAX,
    SILENCE_S,
    WRITE_LEFT_S,
    AskDynamoDB,
    Attempt,
    Call,
    FallbackReservation,
    GiveUp,
    Kind,
    NoAnswer,
    Timing,
    Wait,
)
from paceline.client.core.roster import Node, Roster
from paceline.client.core.routing import Router
from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError, RequestError

THROTTLED = DynamoDBError("ThrottlingException", "not sent")
REFUSED = DynamoDBError("ConditionalCheckFailedException", "no")
INTERNAL = DynamoDBError("InternalServerError", "oops", 500)


def make(
    kind: Kind, *, fallback_after_s: float | None = None, until: float = 10.0, count: int = 3
) -> tuple[Call, Router]:
    router = Router(lambda n: 0)
    router.update(
        Roster(
            tuple(
                Node(number, f"n{number}", "a", "127.0.0.1", number, number == 2)
                for number in range(1, count + 1)
            )
        )
    )
    return Call(kind, router, 0.0, until, Timing(1.0, fallback_after_s=fallback_after_s)), router


def attempt(call: Call, now: float = 0.0) -> Attempt:
    step = call.next_step(now)
    assert isinstance(step, Attempt), step
    return step


def lose(call: Call, router: Router, how: NoAnswer, now: float = 0.0) -> GiveUp | None:
    step = attempt(call, now)
    router.finished(step.node.number, now, None)
    return call.lost(how, "gone")


@pytest.mark.parametrize("how", NoAnswer)
def test_a_read_goes_on_to_every_node_and_round_again(how: NoAnswer) -> None:
    call, _ = make(Kind.READ)
    asked = []
    now = 0.0
    for _ in range(12):
        step = call.next_step(now)
        if isinstance(step, Wait):
            now += step.seconds
            continue
        assert isinstance(step, Attempt)
        asked.append(step.node.number)
        assert call.lost(how, "gone") is None
    assert len(set(asked[:3])) == 3
    assert len(asked) >= 8
    end = call.next_step(10.0)
    assert isinstance(end, GiveUp)
    assert not end.unknown
    assert "gone" in end.reason


def test_a_write_goes_to_the_primary_with_all_its_time() -> None:
    call, _ = make(Kind.WRITE)
    step = attempt(call, 1.0)
    assert (step.node.number, step.timeout_s) == (2, 9.0)


def test_a_write_that_was_handed_over_is_not_repeated() -> None:
    call, router = make(Kind.WRITE)
    end = lose(call, router, NoAnswer.NO_REPLY)
    assert end is not None
    assert end.unknown


def test_a_write_that_was_not_handed_over_goes_to_another_node() -> None:
    call, router = make(Kind.WRITE)
    assert lose(call, router, NoAnswer.NOT_HANDED_OVER) is None
    assert attempt(call).node.number != 2


def test_a_write_that_was_not_sent_is_tried_as_long_as_there_is_time_for_an_answer() -> None:
    call, _ = make(Kind.WRITE)
    now, tries = 0.0, 0
    while True:
        step = call.next_step(now)
        if isinstance(step, Wait):
            now += step.seconds
        elif isinstance(step, Attempt):
            tries += 1
            assert call.failed(THROTTLED, now) is None
        else:
            break
    assert isinstance(step, GiveUp)
    assert not step.unknown
    assert step.error is THROTTLED
    assert 10.0 - WRITE_LEFT_S <= now < 10.0
    impatient, _ = make(Kind.WRITE, until=0.2)
    attempt(impatient, 0.1)
    assert 20 < tries < 60


@pytest.mark.parametrize("kind", Kind)
def test_a_refusal_is_told_at_once(kind: Kind) -> None:
    call, _ = make(kind)
    attempt(call)
    assert call.failed(REFUSED, 0.0) == GiveUp(False, str(REFUSED), REFUSED)


@pytest.mark.parametrize("error", [OutcomeUnknown("?"), INTERNAL])
def test_an_unknown_write_is_told_at_once(error: OutcomeUnknown | DynamoDBError) -> None:
    call, _ = make(Kind.WRITE)
    attempt(call)
    end = call.failed(error, 0.0)
    assert end is not None
    assert end.unknown
    assert end.error is None


def test_a_read_is_repeated_after_internal_errors_but_not_for_ever() -> None:
    call, _ = make(Kind.READ)
    now = 0.0
    for _ in range(READ_ERRORS_MAX - 1):
        while isinstance(step := call.next_step(now), Wait):
            now += step.seconds
        assert call.failed(INTERNAL, now) is None
    assert call.failed(INTERNAL, now) == GiveUp(False, str(INTERNAL), INTERNAL)


def test_a_token_is_repeated_and_stays_unknown_without_an_answer() -> None:
    call, router = make(Kind.IDEMPOTENT)
    assert lose(call, router, NoAnswer.NO_REPLY) is None
    attempt(call)
    assert call.failed(THROTTLED, 0.0) is None
    end = call.next_step(10.0)
    assert isinstance(end, GiveUp)
    assert end.unknown, "'not sent' is said of the last attempt only"
    assert end.error is None


@pytest.mark.parametrize("name", sorted(DECISIVE))
def test_a_token_finds_out(name: str) -> None:
    error = DynamoDBError(name, "no")
    call, router = make(Kind.IDEMPOTENT)
    assert lose(call, router, NoAnswer.NO_REPLY) is None
    attempt(call)
    assert call.failed(error, 0.0) == GiveUp(False, str(error), error)


@pytest.mark.parametrize(
    "error",
    [
        DynamoDBError("AccessDeniedException", "not any more"),
        DynamoDBError("ResourceNotFoundException", "not any more"),
        RequestError("ValidationException", "no such key"),
    ],
)
@pytest.mark.parametrize("handed_over", [True, False])
def test_a_refusal_of_the_repeat_says_nothing_of_the_first(
    error: PacelineError, handed_over: bool
) -> None:
    call, router = make(Kind.IDEMPOTENT)
    assert lose(call, router, NoAnswer.NO_REPLY) is None
    attempt(call)
    assert call.failed(error, 0.0, handed_over=handed_over) == GiveUp(True, str(error))


def test_nor_do_many_errors_in_front_of_the_repeat() -> None:
    call, router = make(Kind.IDEMPOTENT)
    assert lose(call, router, NoAnswer.NO_REPLY) is None
    attempt(call)
    ends = [call.failed(INTERNAL, 0.0, handed_over=False) for _ in range(READ_ERRORS_MAX)]
    assert ends == [None] * (READ_ERRORS_MAX - 1) + [GiveUp(True, str(INTERNAL))]


def test_a_question_in_front_of_a_write_is_no_write() -> None:
    call, _ = make(Kind.WRITE)
    attempt(call)
    assert call.failed(INTERNAL, 0.0, handed_over=False) is None
    assert call.failed(OutcomeUnknown("?"), 0.0, handed_over=False) is None
    assert not call.unknown


# -- DynamoDB itself ---------------------------------------------------------------------------


def test_a_read_falls_back_when_every_node_was_tried() -> None:
    call, router = make(Kind.READ, fallback_after_s=1.5)
    for _ in range(3):
        assert lose(call, router, NoAnswer.NOT_HANDED_OVER) is None
    assert call.next_step(0.0) == AskDynamoDB(FallbackReservation(10.0))


def test_a_read_falls_back_in_time_when_nodes_hang() -> None:
    call, _ = make(Kind.READ, fallback_after_s=1.5, count=9)
    now = 0.0
    while isinstance(step := call.next_step(now), Attempt):
        now += step.timeout_s
        assert call.lost(NoAnswer.NO_REPLY, "hangs") is None
    assert step == AskDynamoDB(FallbackReservation(10.0))
    assert now <= 2.0


def test_nothing_falls_back_while_the_cluster_serves_others() -> None:
    call, router = make(Kind.READ, fallback_after_s=1.5)
    for _ in range(3):
        lose(call, router, NoAnswer.NOT_HANDED_OVER)
    router.served_at = 0.0
    assert isinstance(call.next_step(0.1), Wait)
    router.served_at = 2.0
    assert not isinstance(call.next_step(2.0 + SILENCE_S / 2), AskDynamoDB)
    assert isinstance(call.next_step(2.0 + SILENCE_S), AskDynamoDB)


def test_without_a_fallback_nothing_falls_back() -> None:
    call, router = make(Kind.READ)
    for _ in range(3):
        lose(call, router, NoAnswer.NOT_HANDED_OVER)
    assert isinstance(call.next_step(0.0), Wait)
    assert isinstance(call.next_step(0.2), Wait)
    attempt(call, 0.2 + OPEN_FIRST_S)
    attempt(make_on(router), 0.2)


def make_on(router: Router) -> Call:
    """Another call of the same client."""
    return Call(Kind.READ, router, 0.2, 10.0, Timing(1.0))


def test_a_call_whose_turn_at_dynamodb_is_later_asks_the_nodes_again() -> None:
    call, router = make(Kind.READ, fallback_after_s=1.5, count=1)
    lose(call, router, NoAnswer.NO_REPLY)
    step = call.next_step(0.0)
    assert isinstance(step, AskDynamoDB)
    step.reservation.tokens = 1.0
    call.fallback_refused("the budget is spent", 0.7, 0.0)
    assert call.next_step(0.0) == Wait(LOOK_S), "the node is left alone for a while"
    node = attempt(call, OPEN_FIRST_S)
    assert node.timeout_s <= 0.7
    router.finished(node.node.number, 0.3, None)
    call.lost(NoAnswer.NOT_HANDED_OVER, "refused")
    assert call.next_step(0.6) == Wait(pytest.approx(0.1))
    assert call.next_step(0.7) == AskDynamoDB(FallbackReservation(10.0, 0.7, 1.0))
    router.finished(1, 9.9, None)
    call.fallback_refused("the budget is spent", 100.0, 9.9)
    assert call.next_step(9.9) == Wait(pytest.approx(0.1)), "no longer than its deadline"


def test_reads_are_patient_when_too_many_were_asked_twice() -> None:
    call, router = make(Kind.READ)
    for _ in range(int(RETRIES_MAX)):
        assert attempt(make(Kind.READ)[0]).timeout_s == 1.0
        router.timed_out(1, 1.0, 0.0)
    assert attempt(call).timeout_s == PATIENCE
    for _ in range(20):
        router.finished(2, 1.0, 0.001)
    assert attempt(call).timeout_s == 1.0


@pytest.mark.parametrize(
    ("now", "check"),
    [(1.0, lambda s: not isinstance(s, AskDynamoDB)), (1.6, lambda s: isinstance(s, AskDynamoDB))],
)
def test_a_write_falls_back_only_when_the_cluster_is_surely_away(
    now: float, check: Callable[[object], bool]
) -> None:
    call, router = make(Kind.WRITE, fallback_after_s=1.5)
    for _ in range(3):
        assert lose(call, router, NoAnswer.NOT_HANDED_OVER) is None
    assert check(call.next_step(now))


def test_an_unknown_transaction_never_falls_back() -> None:
    call, router = make(Kind.IDEMPOTENT, fallback_after_s=1.5)
    assert lose(call, router, NoAnswer.NO_REPLY) is None
    now = 2.0
    for _ in range(10):
        step = call.next_step(now)
        assert not isinstance(step, AskDynamoDB)
        if isinstance(step, Wait):
            now += step.seconds
        elif isinstance(step, Attempt):
            call.lost(NoAnswer.NOT_HANDED_OVER, "gone")

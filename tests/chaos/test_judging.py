"""What decides over chaos runs, on calls whose histories are known to be good or bad."""

import random

from paceline_local.testing.linearizability import Answer, Operation
from tests.chaos import records
from tests.chaos.clients import judged
from tests.chaos.judging import judge, miscounted
from tests.chaos.workload import COUNTERS, KEYS, Call, Effect, Workload, key


class Story:
    """Calls one after the other; ``ago`` begins a call before the last ones returned."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.repeats: list[Operation] = []
        self._now = 0.0

    def _times(self, ago: float) -> tuple[float, float]:
        # Not at the very time at which the call before it returned: that would be concurrent.
        begun = self._now + 0.1 - ago
        self._now += 1.0
        return begun, self._now

    def put(self, sk: str, value: str, *, known: bool = True, ago: float = 0.0) -> None:
        begun, ended = self._times(ago)
        call = Call("PutItem", {}, (Effect(sk, "write", value),))
        if known:
            self.operations += records.succeeded("a", call, {}, begun, ended)
        else:
            self.operations += records.unknown("a", call, begun)

    def put_failed(self, sk: str, value: str) -> None:
        call = Call("PutItem", {}, (Effect(sk, "write", value),))
        self.operations += records.failed("a", call, *self._times(0.0))

    def repeated_put(self, sk: str, value: str) -> None:
        """An attempt that broke, made up for by another one."""
        call = Call("PutItem", {}, (Effect(sk, "write", value),))
        self.repeats += records.unknown("a", call, self._now)
        self.put(sk, value)

    def get(self, sk: str, value: str | None, *, ago: float = 0.0) -> None:
        item = None if value is None else {**key(sk), "v": {"S": value}}
        call = Call("GetItem", {}, (Effect(sk, "read"),))
        result = {} if item is None else {"Item": item}
        self.operations += records.succeeded("b", call, result, *self._times(ago))

    def query(self, **values: str) -> None:
        call = Call("Query", {}, tuple(Effect(sk, "read") for sk in KEYS))
        items = [{**key(sk), "v": {"S": value}} for sk, value in values.items()]
        self.operations += records.succeeded("b", call, {"Items": items}, *self._times(0.0))

    def compare(self, sk: str, old: str | None, new: str, *, held: bool) -> None:
        call = Call("PutItem", {}, (Effect(sk, "compare", new, old),))
        begun, ended = self._times(0.0)
        if held:
            self.operations += records.succeeded("a", call, {}, begun, ended)
        else:
            self.operations += records.refused("a", call, begun, ended)

    def add(self, result: int | None, *, repeated: bool = False) -> None:
        call = Call("UpdateItem", {}, (Effect(COUNTERS[0], "add", 1),))
        begun, ended = self._times(0.0)
        if result is None:
            (self.repeats if repeated else self.operations).extend(
                records.unknown("a", call, begun)
            )
            return
        answer = {"Attributes": {"v": {"N": str(result)}}}
        self.operations += records.succeeded("a", call, answer, begun, ended)

    def counted(self, **found: int) -> list[str]:
        for counter in COUNTERS:
            self.operations.append(
                Operation(
                    "DynamoDB",
                    "read",
                    counter,
                    None,
                    found.get(counter),
                    self._now + 1,
                    self._now + 2,
                )
            )
        return miscounted(self.operations, self.repeats)

    def verdict(self) -> Answer:
        return judge(self.operations, self.repeats).answer


def test_fresh_reads_are_good() -> None:
    story = Story()
    story.get("w0", None)
    story.put("w0", "one")
    story.get("w0", "one")
    story.put("w0", "two")
    story.get("w0", "one", ago=0.5)
    story.get("w0", "two")
    story.query(w0="two")
    assert story.verdict() is Answer.OK


def test_a_stale_read_is_found() -> None:
    story = Story()
    story.put("w0", "one")
    story.put("w0", "two")
    story.get("w0", "one")
    assert story.verdict() is Answer.ILLEGAL


def test_a_stale_page_is_found() -> None:
    story = Story()
    story.put("w0", "one")
    story.query()
    assert story.verdict() is Answer.ILLEGAL


def test_going_back_from_an_unacknowledged_write_is_found() -> None:
    story = Story()
    story.put("w0", "one")
    story.put("w0", "two", known=False)
    story.get("w0", "two")
    story.get("w0", "one")
    assert story.verdict() is Answer.ILLEGAL


def test_an_unknown_write_may_land_late_or_never() -> None:
    story = Story()
    story.put("w0", "one", known=False)
    story.get("w0", None)
    story.put("w0", "two")
    story.get("w0", "two")
    assert story.verdict() is Answer.OK
    story.get("w0", "one")
    assert story.verdict() is Answer.OK


def test_a_write_that_was_said_to_have_failed_and_is_seen_is_found() -> None:
    story = Story()
    story.put_failed("w0", "one")
    story.get("w0", "one")
    assert story.verdict() is Answer.ILLEGAL


def test_a_repeated_attempt_may_happen_once_more() -> None:
    story = Story()
    story.repeated_put("w0", "one")
    story.put("w0", "two")
    story.get("w0", "one")
    assert story.verdict() is Answer.OK


def test_conditions_say_what_was_there() -> None:
    good = Story()
    good.compare("c0", None, "one", held=True)
    good.compare("c0", "one", "two", held=True)
    good.compare("c0", "one", "three", held=False)
    assert good.verdict() is Answer.OK
    bad = Story()
    bad.compare("c0", None, "one", held=True)
    bad.compare("c0", None, "two", held=True)
    assert bad.verdict() is Answer.ILLEGAL


def test_increments_are_counted() -> None:
    story = Story()
    story.add(1)
    story.add(None)
    story.add(3)
    assert story.counted(n0=3) == []
    assert story.verdict() is Answer.OK


def test_a_lost_and_a_doubled_increment_are_found() -> None:
    lost = Story()
    lost.add(1)
    lost.add(2)
    assert len(lost.counted(n0=1)) == 1
    assert lost.verdict() is Answer.ILLEGAL
    doubled = Story()
    doubled.add(1)
    assert len(doubled.counted(n0=2)) == 1
    assert doubled.verdict() is Answer.ILLEGAL
    told_twice = Story()
    told_twice.add(1)
    told_twice.add(1)
    told_twice.add(None)
    assert len(told_twice.counted(n0=2)) == 1


def test_errors_that_say_nothing_leave_the_outcome_unknown() -> None:
    call = Call("PutItem", {}, (Effect("w0", "write", "one"),))
    assert judged("ThrottlingException", call) == ("failed", False)
    assert judged("InternalServerError", call) == ("unknown", False)
    assert judged("SomethingNew", call) == ("unknown", True)
    # Only a comparison has a condition that may fail.
    assert judged("ConditionalCheckFailedException", call) == ("refused", True)


def test_a_workload_can_be_replayed_and_its_values_are_unique() -> None:
    calls = [Workload("w", "t", random.Random(7)) for _ in range(2)]
    first, second = ([workload.next() for _ in range(500)] for workload in calls)
    assert first == second
    written = [e.value for call in first for e in call.effects if e.action in ("write", "compare")]
    values = [value for value in written if value is not None]
    assert len(values) == len(set(values)) > 100
    assert {call.operation for call in first} >= {"GetItem", "Query", "UpdateItem", "DeleteItem"}

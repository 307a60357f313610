from cluster.coherence.effects import Effect, IndexTouch, effects_bytes
from cluster.coherence.log import MESSAGE_BYTES, StreamLog, size_of
from cluster.coherence.messages import Begin, Fence, Image, LogMessage, Outcome, Position, Settle


def filled(count: int, **limits: int) -> tuple[StreamLog, list[LogMessage]]:
    log = StreamLog(**limits)
    messages: list[LogMessage] = [Begin(Position(2, 0), None, False)]
    messages += [Fence(Position(2, n), (("t", b"k" * 10),)) for n in range(1, count)]
    for message in messages:
        log.append(message)
    return log, messages


def test_since_gives_what_follows_a_position() -> None:
    log, messages = filled(5)
    assert log.since(Position(2, -1)) == tuple(messages)
    assert log.since(Position(2, 2)) == tuple(messages[3:])
    assert log.since(Position(2, 4)) == ()


def test_since_knows_what_it_does_not_know() -> None:
    log, messages = filled(10, messages_max=3)
    assert len(log) == 3
    assert log.since(Position(2, 6)) == tuple(messages[7:])
    for position in (Position(2, 5), Position(2, 10), Position(1, 7), Position(3, 8)):
        assert log.since(position) is None
    assert StreamLog().since(Position(1, 0)) is None


def test_bytes_are_bounded_and_counted_back() -> None:
    log, _ = filled(1, bytes_max=3000)
    for n in range(1, 50):
        images = (Image(b"x" * 700), None, Image(None))
        log.append(Settle(Position(2, n), Position(2, 0), Outcome.SUCCESS, images))
        assert log.bytes <= 3000
        assert log.bytes == len(log) * (MESSAGE_BYTES + 700) or n < 4
    assert len(log) == 3


def test_a_message_larger_than_the_log_leaves_it_empty() -> None:
    log, _ = filled(3, bytes_max=3000)
    log.append(Settle(Position(2, 3), Position(2, 1), Outcome.SUCCESS, (Image(b"x" * 5000),)))
    assert len(log) == 0
    assert log.bytes == 0
    assert log.since(Position(2, 2)) is None
    assert log.since(Position(2, 3)) is None


def test_epochs_of_which_nothing_is_left_take_no_memory() -> None:
    log = StreamLog(messages_max=3)
    for epoch in range(1, 100):
        log.append(Begin(Position(epoch, 0), Position(epoch - 1, 0), False))
    assert len(log) == 3
    assert len(log._runs) <= 3
    assert log.since(Position(97, 0)) is not None


def test_a_log_that_was_cleared_has_room_again_and_leads_on_from_nothing() -> None:
    log, messages = filled(5, bytes_max=6 * (MESSAGE_BYTES + 11))
    log.clear()
    assert (len(log), log.bytes) == (0, 0)
    assert log.since(Position(2, 4)) is None
    for message in messages:
        log.append(message)
    assert log.since(Position(2, 1)) == tuple(messages[2:])


def test_a_log_may_be_full_to_the_last_byte() -> None:
    size = MESSAGE_BYTES + 3 * (MESSAGE_BYTES + 11)
    for limit, count in ((size, 4), (size - 1, 3)):
        log, _ = filled(4, bytes_max=limit)
        assert len(log) == count


def test_a_fence_has_the_size_of_its_tables_keys_and_effects() -> None:
    effects = (Effect(7, (IndexTouch("index", b"p", b"sort"),)), None)
    fence = Fence(Position(2, 1), (("table", b"k" * 10), ("u", b"")), effects)
    assert size_of(fence) == MESSAGE_BYTES + 16 + effects_bytes(effects)

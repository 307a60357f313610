"""Decisions of a probe."""

import random
from collections.abc import Callable

import pytest

from cluster.roster.endpoints import Health
from cluster.roster.liveness import Action, Event, Liveness, ProbeTimes
from tests.support.rows import every_row

TIMES = ProbeTimes(ask_s=0.3)


def health(probe: Liveness) -> Health:
    return probe.health


def asked(now: float = 0.0) -> Liveness:
    probe = Liveness(now, TIMES)
    assert probe.step(Event.TICK, now) is Action.CONNECT
    assert probe.step(Event.CONNECTED, now) is Action.ASK
    return probe


def alive(now: float = 0.0) -> Liveness:
    probe = asked(now)
    assert probe.step(Event.ANSWERED, now) is Action.NOTHING
    assert health(probe) is Health.ALIVE
    return probe


def test_asks_again_after_a_pause() -> None:
    probe = alive()
    assert probe.wake_at == TIMES.ask_s
    assert probe.step(Event.TICK, 0.1) is Action.NOTHING
    assert probe.step(Event.TICK, probe.wake_at) is Action.ASK


def test_refused_is_down_at_once() -> None:
    probe = Liveness(0.0)
    probe.step(Event.TICK, 0.0)
    assert health(probe) is Health.UNKNOWN
    probe.step(Event.LOST, 0.001)
    assert health(probe) is Health.UNREACHABLE


@pytest.mark.parametrize("make", [asked, alive])
def test_closed_is_down_at_once(make: Callable[[], Liveness]) -> None:
    probe = make()
    probe.step(Event.LOST, 0.2)
    assert health(probe) is Health.UNREACHABLE


def test_hang_is_down_after_a_second_and_up_with_the_late_answer() -> None:
    probe = alive()
    probe.step(Event.TICK, 0.3)
    assert probe.wake_at == pytest.approx(1.3)
    assert probe.step(Event.TICK, 1.29) is Action.NOTHING
    assert health(probe) is Health.ALIVE
    assert probe.step(Event.TICK, 1.3) is Action.NOTHING
    assert health(probe) is Health.UNREACHABLE
    probe.step(Event.ANSWERED, 2.0)
    assert health(probe) is Health.ALIVE


def test_unanswered_connection_is_given_up_in_the_end() -> None:
    probe = asked()
    probe.step(Event.TICK, 1.0)
    assert probe.wake_at == pytest.approx(TIMES.abandon_s)
    assert probe.step(Event.TICK, probe.wake_at) is Action.CLOSE
    assert probe.step(Event.TICK, probe.wake_at) is Action.CONNECT


def test_hanging_connect_is_down_after_a_second() -> None:
    probe = Liveness(0.0)
    probe.step(Event.TICK, 0.0)
    assert probe.step(Event.TICK, 1.0) is Action.CLOSE
    assert health(probe) is Health.UNREACHABLE


def test_pauses_between_attempts_double_up_to_a_limit_and_start_again_after_an_answer() -> None:
    probe = Liveness(0.0)
    now, pauses = 0.0, []
    for _ in range(7):
        assert probe.step(Event.TICK, now) is Action.CONNECT
        probe.step(Event.LOST, now)
        pauses.append(probe.wake_at - now)
        now = probe.wake_at
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    probe.step(Event.TICK, now)
    probe.step(Event.CONNECTED, now)
    probe.step(Event.ANSWERED, now)
    probe.step(Event.LOST, now)
    assert probe.wake_at - now == pytest.approx(0.05)


def test_own_stall_is_not_held_against_the_member() -> None:
    probe = asked()
    assert probe.step(Event.TICK, 60.0) is Action.NOTHING
    assert health(probe) is Health.UNKNOWN
    assert probe.wake_at == pytest.approx(60.0 + TIMES.stall_s)
    probe.step(Event.TICK, probe.wake_at)
    assert health(probe) is Health.UNREACHABLE


@every_row("seed", range(200))
def test_random_events_keep_the_state_machine_in_order(seed: int) -> None:
    """A connection is asked only while there is one, and some wake-up always lies ahead."""
    rng = random.Random(seed)
    probe, now, connected, connecting = Liveness(0.0), 0.0, False, False
    for _ in range(300):
        possible = [Event.TICK]
        if connecting:
            possible += [Event.CONNECTED, Event.LOST]
        if connected:
            possible += [Event.ANSWERED, Event.LOST]
        event = rng.choice(possible)
        now = max(now, probe.wake_at) if event is Event.TICK else now + rng.random() * 0.5
        if event is Event.CONNECTED:
            connected, connecting = True, False
        elif event is Event.LOST:
            connected = connecting = False
        action = probe.step(event, now)
        if action is Action.CONNECT:
            assert not connected
            assert not connecting
            connecting = True
        elif action is Action.ASK:
            assert connected
        elif action is Action.CLOSE:
            assert connected or connecting
            connected = connecting = False
        if event is Event.ANSWERED:
            assert health(probe) is not Health.UNKNOWN
        if event is Event.LOST:
            assert health(probe) is Health.UNREACHABLE
        assert probe.wake_at - now <= TIMES.abandon_s, f"seed {seed}"

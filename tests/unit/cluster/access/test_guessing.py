"""Who tries out signatures is kept out by his address, and takes nobody's known key with him."""

from __future__ import annotations

from cluster.access import guessing
from cluster.access.guessing import GOOD_S, WINDOW_S, Guesses

HERE, THERE = "192.0.2.1", "192.0.2.2"


def failing(guesses: Guesses, times: int, now: float = 0.0, address: str = HERE) -> None:
    for _ in range(times):
        guesses.failed(address, now)


def test_too_many_in_a_minute_and_the_address_is_kept_out_for_a_while() -> None:
    guesses = Guesses(5, lockout_s=30.0)
    failing(guesses, 4)
    assert not guesses.is_kept_out(HERE, 1.0)
    failing(guesses, 1, 1.0)
    assert guesses.is_kept_out(HERE, 1.0)
    assert guesses.kept_out_s(HERE, "any", 11.0) == 20.0
    assert not guesses.is_kept_out(THERE, 1.0)
    assert not guesses.is_kept_out(HERE, 31.0)
    failing(guesses, 4, 31.0)
    assert not guesses.is_kept_out(HERE, 31.0), "it begins anew"


def test_few_failures_add_up_to_nothing() -> None:
    guesses = Guesses(5, lockout_s=30.0)
    for minute in range(10):
        failing(guesses, 4, minute * WINDOW_S)
        assert not guesses.is_kept_out(HERE, minute * WINDOW_S)


def test_a_key_that_was_good_there_is_welcome_there_and_nowhere_else() -> None:
    guesses = Guesses(5, lockout_s=2 * GOOD_S)
    guesses.proved(HERE, "ours", 0.0)
    failing(guesses, 5, 1.0)
    failing(guesses, 5, 1.0, THERE)
    assert guesses.kept_out_s(HERE, "ours", 2.0) == 0.0
    assert guesses.kept_out_s(HERE, "another", 2.0) > 0
    assert guesses.kept_out_s(THERE, "ours", 2.0) > 0
    assert guesses.kept_out_s(HERE, "ours", GOOD_S) > 0, "but not for ever"


def test_a_good_signature_takes_no_failure_back() -> None:
    """The owner of an address would else give a stranger there as many tries as he wants."""
    guesses = Guesses(5, lockout_s=30.0)
    for _ in range(5):
        guesses.failed(HERE, 0.0)
        guesses.proved(HERE, "ours", 0.0)
    assert guesses.is_kept_out(HERE, 0.0)


def test_wrong_signatures_by_a_known_key_do_not_make_it_longer() -> None:
    guesses = Guesses(5, lockout_s=30.0)
    guesses.proved(HERE, "ours", 0.0)
    for second in range(30):
        failing(guesses, 10, float(second))
    assert not guesses.is_kept_out(HERE, 30.0)


def test_the_memory_is_bounded_and_strangers_push_no_good_key_out() -> None:
    guesses = Guesses(5, lockout_s=30.0)
    guesses.proved(HERE, "ours", 0.0)
    for number in range(3 * guessing.ADDRESSES_MAX):
        guesses.failed(f"stranger-{number}", 0.0)
    assert len(guesses._tried) <= guessing.ADDRESSES_MAX
    for number in range(guessing.GOOD_MAX // 2 - 1):
        guesses.proved(f"address-{number}", "theirs", 0.0)
    failing(guesses, 5)
    assert guesses.kept_out_s(HERE, "ours", 0.0) == 0.0
    for number in range(3 * guessing.GOOD_MAX):
        guesses.proved(f"address-{number}", "theirs", 0.0)
    assert len(guesses._good) <= guessing.GOOD_MAX

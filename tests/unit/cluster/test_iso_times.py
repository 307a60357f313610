"""Times as text."""

from cluster.iso_times import millisecond_text, second_text


def test_the_fraction_is_left_out() -> None:
    assert second_text(1_767_323_045.999) == "2026-01-02T03:04:05Z"
    assert millisecond_text(1_767_323_045.678) == "2026-01-02T03:04:05.678Z"


def test_a_whole_second_has_milliseconds_too() -> None:
    assert millisecond_text(0) == "1970-01-01T00:00:00.000Z"

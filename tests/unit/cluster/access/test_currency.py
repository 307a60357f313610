"""A node that hears nothing of its cluster lets nobody of the log in for long."""

import pytest

from cluster.access.currency import Currency
from cluster.access.denied import Denied


def test_it_has_to_be_level_first() -> None:
    currency = Currency(10.0)
    with pytest.raises(Denied) as denied:
        currency.check(0.0)
    assert denied.value.error_name == "ThrottlingException"
    assert "within 10 seconds" in denied.value.message
    currency.level(1.0)
    currency.check(10.9)


def test_it_ends_so_long_after_it_was_level_last() -> None:
    currency = Currency(10.0)
    currency.level(5.0)
    currency.level(3.0)  # an answer that comes late takes nothing away
    currency.check(14.9)
    with pytest.raises(Denied):
        currency.check(15.0)
    currency.level(15.0)
    currency.check(15.0)

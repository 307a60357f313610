"""Bounds on what callers ask and guess: whom they are for, and what is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.access.denied import Denied
from cluster.access.member_key import NAME
from cluster.access.principals import AccessKey, Principal
from cluster.access.signatures.refusals import expired, mismatch, missing_token, unknown_key
from cluster.access.signatures.verification import Verified
from cluster.settings import LimitsSettings
from cluster.transport.restraint import Restraint

HERE = "192.0.2.1"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def restraint_of(clock: Clock | None = None, **limits: Any) -> Restraint:
    return Restraint(LimitsSettings(**limits), clock or Clock())


def by(name: str) -> Verified:
    key = AccessKey(f"PLAK{name}", "s" * 40, name)
    return Verified(Principal(name, f"arn:{name}"), key, 0, (), float("inf"), 1)


def failing(restraint: Restraint, address: str, times: int = 60) -> None:
    for _ in range(times):
        restraint.failed(address, mismatch())


def test_an_address_that_guesses_is_told_for_how_long_it_is_kept_out() -> None:
    clock = Clock()
    restraint = restraint_of(clock)
    restraint.proved(HERE, "good")
    failing(restraint, HERE, 59)
    restraint.check_address(HERE, lambda: "any")
    restraint.failed(HERE, unknown_key())
    clock.now += 17.5
    with pytest.raises(Denied, match="for 43 seconds") as told:
        restraint.check_address(HERE, lambda: "any")
    assert (told.value.error_name, told.value.http_status) == ("ThrottlingException", 400)
    restraint.check_address(HERE, lambda: "good")
    restraint.check_address("192.0.2.2", lambda: "any")
    clock.now += 42.5
    restraint.check_address(HERE, lambda: "any")


def test_only_what_may_be_a_guess_counts() -> None:
    """No signature, or one of a clock that is wrong, is no attempt at anybody's key."""
    restraint = restraint_of()
    for _ in range(1000):
        restraint.failed(HERE, missing_token())
        restraint.failed(HERE, expired(0, 1000, 300))
    restraint.check_address(HERE, lambda: "any")


def test_an_ipv6_address_counts_by_its_network() -> None:
    restraint = restraint_of()
    for number in range(60):
        restraint.failed(f"2001:db8:0:1::{number:x}", mismatch())
    with pytest.raises(Denied):
        restraint.check_address("2001:db8:0:1:ffff::1", lambda: "any")
    restraint.check_address("2001:db8:0:2::1", lambda: "any")
    failing(restraint, "::ffff:192.0.2.9")
    with pytest.raises(Denied):
        restraint.check_address("192.0.2.9", lambda: "any")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3"])
def test_this_machine_and_proxies_are_not_kept_out_nor_slowed_down(address: str) -> None:
    exempt = ["127.0.0.0/8", "::1", "10.0.0.0/8"]
    restraint = restraint_of(exempt_addresses=exempt, address_requests_per_s=1)
    failing(restraint, address, 1000)
    restraint.check_address(address, lambda: "any")
    assert all(restraint.admits(address, None) for _ in range(100))


def test_zero_is_no_bound() -> None:
    restraint = restraint_of(wrong_signatures_per_minute=0)
    failing(restraint, HERE, 1000)
    restraint.check_address(HERE, lambda: "any")
    assert not restraint.limits_requests
    assert restraint.admits(HERE, None)


def test_requests_of_an_address_and_of_a_principal() -> None:
    clock = Clock()
    restraint = restraint_of(clock, address_requests_per_s=4, principal_requests_per_s=2)
    assert restraint.limits_requests
    ann, bob = by("ann"), by("bob")
    assert [restraint.admits(HERE, ann) for _ in range(3)] == [True, True, False]
    assert [restraint.admits(HERE, bob) for _ in range(2)] == [True, False]  # the address's fourth
    assert restraint.admits("192.0.2.2", bob)
    assert not restraint.admits("192.0.2.2", ann), "wherever she calls from"
    clock.now += 0.5
    assert restraint.admits(HERE, ann)
    assert restraint.too_many().name == "ThrottlingException"
    assert restraint.refused == 1


def test_sessions_of_a_role_are_one_caller() -> None:
    restraint = restraint_of(principal_requests_per_s=2)
    sessions = [by(f"role/{number}") for number in range(3)]
    role = "arn:aws:iam::000000000000:role/reader"
    acting = [replace(one, principal=replace(one.principal, role_arn=role)) for one in sessions]
    assert [restraint.admits(HERE, one) for one in acting] == [True, True, False]


def test_the_clusters_own_programs_probe_as_often_as_they_want() -> None:
    restraint = restraint_of(address_requests_per_s=1, principal_requests_per_s=1)
    assert all(restraint.admits(HERE, by(NAME)) for _ in range(100))

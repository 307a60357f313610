"""Look-ups see the latest of the log, and nobody else in a principal's place."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cluster.access.denied import Denied
from cluster.access.directories import AllPrincipals, LogPrincipals
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.records import KeyRecord, PrincipalRecord, to_bytes
from cluster.access.sealing import Seal
from cluster.access.signatures import refusals
from cluster.log.commands import PutPrincipal
from cluster.log.sealed_principals import SealedPrincipal, SealedPrincipals

NONCE = bytes(12)
SEAL = Seal(["k" * 32], "c")


def key(number: int) -> KeyRecord:
    return KeyRecord(f"PLAK{number:016}", "s" * 40)


class Log:
    def __init__(self) -> None:
        self.state = SealedPrincipals({})
        self.warned: list[tuple[str, str]] = []
        self.known = LogPrincipals(
            lambda: self.state.by_name, SEAL, lambda name, why: self.warned.append((name, why))
        )

    def put(self, record: PrincipalRecord) -> None:
        self.put_sealed(
            record.name, record.key_ids, SEAL.seal(record.name, to_bytes(record), NONCE)
        )

    def put_sealed(self, name: str, keys: tuple[str, ...], sealed: bytes | None) -> None:
        by_name: Mapping[str, SealedPrincipal] = self.state.by_name
        before = by_name.get(name)
        expected = self.state.revision if before is None else before.revision
        assert not self.state.put(PutPrincipal(name, expected, before is None, keys, sealed))[1]


def test_look_ups_see_each_change() -> None:
    log = Log()
    assert log.known.key(key(1).id) is None
    begin = log.known.version()
    log.put(PrincipalRecord("ann", (key(1),)))
    found = log.known.key(key(1).id)
    assert found is not None
    assert (found.principal, found.secret) == ("ann", "s" * 40)
    log.put(PrincipalRecord("ann", (key(2),), disabled=True))
    assert log.known.key(key(1).id) is None
    ann = log.known.principal("ann")
    assert ann is not None
    assert ann.disabled
    log.put_sealed("ann", (), None)
    assert log.known.principal("ann") is None
    assert log.known.key(key(2).id) is None
    assert log.known.version() > begin
    assert log.known.version() == log.known.version()


def test_what_cannot_be_opened_is_nobody_and_said_once() -> None:
    log = Log()
    log.put(PrincipalRecord("bob", (key(2),)))
    other = Seal(["x" * 32], "c").seal("ann", to_bytes(PrincipalRecord("ann", (key(1),))), NONCE)
    log.put_sealed("ann", (key(1).id,), other)
    assert log.known.key(key(1).id) is None
    log.put(PrincipalRecord("cem", (key(3),)))
    assert log.known.key(key(2).id) is not None
    assert log.known.key(key(3).id) is not None
    assert [name for name, _ in log.warned] == ["ann"]


def test_a_principal_in_anothers_place_is_nobody() -> None:
    log = Log()
    ann = PrincipalRecord("ann", (key(1),))
    log.put_sealed("bob", (key(1).id,), SEAL.seal("bob", to_bytes(ann), NONCE))
    log.put_sealed("cem", (key(3).id,), SEAL.seal("cem", to_bytes(ann), NONCE))
    assert log.known.key(key(1).id) is None
    assert log.known.principal("ann") is None
    assert {name for name, _ in log.warned} == {"bob", "cem"}


def test_earlier_sources_hide_later_ones() -> None:
    first, second = Log(), Log()
    first.put(PrincipalRecord("ann", (key(1),), {}, {"from": "first"}))
    second.put(PrincipalRecord("ann", (key(2),), {}, {"from": "second"}))
    second.put(PrincipalRecord("bob", (key(3),)))
    both = AllPrincipals([first.known, second.known])
    ann = both.principal("ann")
    assert ann is not None
    assert ann.tags == {"from": "first"}
    assert both.key(key(1).id) is not None
    assert both.key(key(2).id) is None, "it would act as the other ann"
    assert both.key(key(3).id) is not None
    before = both.version()
    second.put(PrincipalRecord("bob", (key(4),)))
    assert both.version() > before


def test_no_source_knows_nobody() -> None:
    assert AllPrincipals([]).key("x") is None
    assert AllPrincipals([KnownPrincipals((), ())]).principal("x") is None


def test_what_may_be_outdated_is_not_looked_up() -> None:
    """A key that is not there may just not have come here yet, so none is said to be unknown."""
    log = Log()
    log.put(PrincipalRecord("ann", (key(1),)))

    def check() -> None:
        raise refusals.outdated(3.0)

    log.known.check_current = check
    for known in (log.known, AllPrincipals([log.known])):
        for number in (1, 2):
            with pytest.raises(Denied):
                known.key(key(number).id)
    file = KnownPrincipals((Principal("bob", "arn"),), (AccessKey(key(3).id, "s", "bob"),))
    found = AllPrincipals([file, log.known]).key(key(3).id)
    assert found is not None  # of a file on this very machine
    assert found.principal == "bob"

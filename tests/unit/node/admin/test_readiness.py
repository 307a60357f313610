"""When a node says that it is ready, and when it takes that back."""

from node.admin.status import GRACE_S, Readiness


def test_a_node_is_ready_once_nothing_is_in_the_way() -> None:
    readiness = Readiness()
    assert readiness.unready("no primary yet", 0.0) == "no primary yet"
    assert readiness.unready("no primary yet", 100.0) == "no primary yet"
    assert readiness.unready(None, 101.0) is None


def test_a_failover_takes_no_node_out() -> None:
    readiness = Readiness()
    readiness.unready(None, 0.0)
    assert readiness.unready("no lease", 1.0) is None
    assert readiness.unready("no lease", 0.9 + GRACE_S) is None
    assert readiness.unready(None, 1.0 + GRACE_S) is None
    # Another one counts from its own beginning.
    assert readiness.unready("no lease", 2.0 + GRACE_S) is None


def test_what_lasts_longer_does_until_it_is_over() -> None:
    readiness = Readiness()
    readiness.unready(None, 0.0)
    readiness.unready("no lease", 1.0)
    assert readiness.unready("no majority", 1.0 + GRACE_S) == f"no majority (for {GRACE_S:.0f} s)"
    assert readiness.unready("no majority", 61.0) == "no majority (for 60 s)"
    assert readiness.unready(None, 62.0) is None
    assert readiness.unready("no majority", 63.0) is None

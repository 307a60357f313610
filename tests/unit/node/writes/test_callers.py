"""In whose name forwarded writes are done, and when they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.role_records import RoleRecord
from cluster.access.sessions import Session, key_of, proof_of
from cluster.access.upstream import Profile
from node.backend.acting import Who, acting, acting_as, actor_of
from node.replication.wire import By
from node.writes.callers import ForwardedCallers, forwarded_by
from node.writes.plan import plan_write
from paceline.errors import NotSent, RequestError
from paceline.types import KeyAttribute, KeySchema

ANN = Principal("ann", "arn:ann", upstream=Profile("ann"), revision=4)
KNOWN_USERS = (
    ANN,
    Principal("bob", "arn:bob"),
    Principal("dan", "arn:dan", disabled=True, upstream=Profile("dan")),
)
KNOWN_KEYS = (
    AccessKey("PLAKANN", "s", "ann"),
    AccessKey("PLAKOLD", "s", "ann", disabled=True),
    AccessKey("PLAKBOB", "s", "bob"),
)
ID, OTHER_ID = "PLRO0000000000000000", "PLRO1111111111111111"


def with_role(**changed: Any) -> ForwardedCallers:
    record = RoleRecord("reports", ID, "{}", upstream=Profile("reports"))
    role = replace(record, **changed).as_role(8)
    return ForwardedCallers(KnownPrincipals(KNOWN_USERS, KNOWN_KEYS, roles=(role,)))


CALLERS = with_role()


def test_the_principal_is_the_primarys_own() -> None:
    with forwarded_by(By("ann", "PLAKANN"), CALLERS):
        actor = acting.get()
        assert actor is not None
        assert (actor.who.name, actor.who.revision, actor.who.source) == ("ann", 4, Profile("ann"))
        assert CALLERS.by() == By("ann", "PLAKANN")
    assert acting.get() is None
    assert CALLERS.by() is None


@pytest.mark.parametrize(
    "by",
    [
        By("nobody", "PLAKANN"),
        By("dan", "PLAKDAN"),
        By("ann", "PLAKOLD"),
        By("ann", "PLAKBOB"),
        By("bob", "PLAKBOB"),
        By("role/other", f"role:{ID}"),
    ],
)
def test_who_may_not_call_any_more_or_has_no_credentials_is_refused(by: By) -> None:
    with pytest.raises(RequestError) as refused, forwarded_by(by, CALLERS):
        raise AssertionError("it was done")
    assert refused.value.name == "AccessDeniedException"


def test_a_key_that_the_primary_does_not_know_may_be_another_ones() -> None:
    with (
        pytest.raises(NotSent, match="does not know the key"),
        forwarded_by(By("ann", "PLAKELSEWHERE"), CALLERS),
    ):
        raise AssertionError("it was done")
    with forwarded_by(By("ann", "PLASTEMPORARY"), CALLERS):
        assert acting.get() is not None


def test_a_session_of_a_role_has_the_roles_credentials_at_both_nodes() -> None:
    known = CALLERS._principals
    issuer = known.key("PLAKANN")
    assert issuer is not None
    session = Session(
        *("secret", "ann", "PLAKANN", proof_of(issuer), 0, 900), (("reports", ID),), "nightly"
    )
    key = key_of(session, "PLASSESSION", "token", None, known)
    assert key is not None
    assert key.acts_as is not None
    with acting_as(actor_of(key.acts_as, key.id)):
        by = CALLERS.by()
        here = acting.get()
    assert by == By("role/reports", f"role:{ID}")
    assert by is not None
    assert here is not None
    with forwarded_by(by, CALLERS):
        there = acting.get()
        assert there is not None
        assert there.who == here.who == Who("role/reports", 8, Profile("reports"))
        assert CALLERS.by() == by  # should it be forwarded once more


@pytest.mark.parametrize("changed", [{"disabled": True}, {"upstream": None}])
def test_a_role_that_may_not_be_taken_on_or_has_no_credentials_is_refused(changed: Any) -> None:
    with (
        pytest.raises(RequestError, match=r"role/reports may not|'paceline role set reports") as no,
        forwarded_by(By("role/reports", f"role:{ID}"), with_role(**changed)),
    ):
        raise AssertionError("it was done")
    assert no.value.name == "AccessDeniedException"


@pytest.mark.parametrize("key_id", [f"role:{OTHER_ID}", "PLASTEMPORARY", "PLAKANN", ""])
def test_another_role_of_the_name_is_not_the_one_that_was_taken_on(key_id: str) -> None:
    with (
        pytest.raises(NotSent, match="knows another role/reports"),
        forwarded_by(By("role/reports", key_id), CALLERS),
    ):
        raise AssertionError("it was done")


@pytest.mark.parametrize(
    ("by", "callers"), [(None, CALLERS), (By("ann", "PLAKANN"), None)], ids=["none", "unknown"]
)
def test_nodes_that_do_not_agree_whose_credentials_to_take_write_nothing(
    by: By | None, callers: ForwardedCallers | None
) -> None:
    with (
        pytest.raises(NotSent, match="has to be the same on all nodes"),
        forwarded_by(by, callers),
    ):
        raise AssertionError("it was done")


def test_a_node_that_writes_in_its_own_name_does() -> None:
    with forwarded_by(None, None):
        assert acting.get() is None


def test_an_update_is_asked_as_it_is() -> None:
    schemas = {"t": KeySchema(KeyAttribute("id", "S"))}
    params = {"TableName": "t", "Key": {"id": {"S": "a"}}, "UpdateExpression": "SET v = :v"}
    plan = plan_write("UpdateItem", params, schemas, as_asked=True)
    assert plan.params == params
    assert not plan.hides_attributes
    assert plan.images({}, schemas, lambda item, schema: b"") == [None]

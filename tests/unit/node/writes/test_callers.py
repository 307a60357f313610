"""In whose name forwarded writes are done, and when they are not."""

from __future__ import annotations

import pytest

from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.upstream import Profile
from node.backend.acting import acting
from node.replication.wire import By
from node.writes.callers import ForwardedCallers, forwarded_by
from node.writes.plan import plan_write
from paceline.errors import NotSent, RequestError
from paceline.types import KeyAttribute, KeySchema

ANN = Principal("ann", "arn:ann", upstream=Profile("ann"), revision=4)
KNOWN = KnownPrincipals(
    (
        ANN,
        Principal("bob", "arn:bob"),
        Principal("dan", "arn:dan", disabled=True, upstream=Profile("dan")),
    ),
    (
        AccessKey("PLAKANN", "s", "ann"),
        AccessKey("PLAKOLD", "s", "ann", disabled=True),
        AccessKey("PLAKBOB", "s", "bob"),
    ),
)
CALLERS = ForwardedCallers(KNOWN)


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

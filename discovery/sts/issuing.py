"""What a new session is to be. Pure: its secret, and the time, come from outside."""

from __future__ import annotations

from dataclasses import replace

from cluster.access.calling import Call
from cluster.access.denied import Denied
from cluster.access.fields import TAGS_MAX
from cluster.access.roles import ROLE_SESSION_DEFAULT_S, Role
from cluster.access.sessions import (
    PACKED_BYTES_MAX,
    ROLES_MAX,
    Session,
    merged,
    opens_again,
    packed,
    proof_of,
)
from discovery.sts.parameters import AssumeRole, invalid
from discovery.sts.trusting import ASSUME, SET_SOURCE, TAG

CHAINED_MAX_S = 3_600
"""Of a role that is taken on by a session of another."""


def of_user(call: Call, secret: str, duration_s: int, now: int) -> Session:
    """A session of who has signed with a key that is no temporary one."""
    key = call.by.key
    return Session(secret, key.principal, key.id, proof_of(key), now, now + duration_s)


def duration_of(asked: AssumeRole, role: Role, before: Session | None) -> int:
    """In seconds. ``before``: the caller's session, if he has one. Denied."""
    duration_s = ROLE_SESSION_DEFAULT_S if asked.duration_s is None else asked.duration_s
    if before is not None and before.roles and duration_s > CHAINED_MAX_S:
        raise invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by"
            " role chaining"
        )
    if duration_s > role.session_max_s:
        raise invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return duration_s


def inheriting(asked: AssumeRole, before: Session | None) -> AssumeRole:
    """With the tags and the source identity that go on from the caller's session. Denied: they were
    to be changed, or it is one role too many."""
    if before is None or not before.roles:
        return asked
    if len(before.roles) >= ROLES_MAX:
        raise Denied("AccessDenied", f"A chain of roles has at most {ROLES_MAX}.", 403)
    if before.source_identity and asked.source_identity not in ("", before.source_identity):
        raise Denied(
            "AccessDenied",
            "The source identity of a session cannot be changed by a later role.",
            403,
        )
    inherited = {key: before.tags[key] for key in before.transitive if key in before.tags}
    small = {key.lower() for key in inherited}
    if any(key.lower() in small for key in (*asked.tags, *asked.transitive)):
        raise Denied(
            "InvalidParameterValue",
            "One of the specified transitive tag keys can't be set because it conflicts with a"
            " transitive tag key from the calling session.",
        )
    tags = merged(asked.tags, inherited)
    if len(tags) > TAGS_MAX:
        raise invalid(f"{len(tags)} tags with those that go on; the most are {TAGS_MAX}")
    return replace(
        asked,
        tags=tags,
        transitive=(*inherited, *asked.transitive),
        source_identity=before.source_identity or asked.source_identity,
    )


def actions_of(asked: AssumeRole) -> tuple[str, ...]:
    """All that have to be allowed. ``asked``: with what it inherits."""
    tagging = (TAG,) if asked.tags or asked.transitive else ()
    return (ASSUME, *tagging, *((SET_SOURCE,) if asked.source_identity else ()))


def of_role(
    call: Call,
    asked: AssumeRole,
    role: Role,
    before: Session | None,
    secret: str,
    duration_s: int,
    now: int,
) -> Session:
    """``asked``: with what it inherits from ``before``, the caller's session."""
    missing = [key for key in asked.transitive if key not in asked.tags]
    if missing:
        raise invalid(f"The transitive tag key {missing[0]} is none of the session's tags.")
    base = before or of_user(call, secret, duration_s, now)
    return replace(
        base,
        secret=secret,
        issued_at=now,
        expires_at=now + duration_s,
        roles=(*base.roles, (role.name, role.id)),
        name=asked.session,
        policies=None if asked.policy is None else (asked.policy,),
        tags=asked.tags,
        transitive=asked.transitive,
        source_identity=asked.source_identity,
    )


def packed_percent(session: Session) -> int:
    """How much of the room for policies and tags is used. Denied: there is too little."""
    size = len(packed(session))
    percent = -(-100 * size // PACKED_BYTES_MAX)
    if not opens_again(session):
        raise Denied("PackedPolicyTooLarge", "The session's policy and tags are too long together.")
    if size > PACKED_BYTES_MAX:
        raise Denied(
            "PackedPolicyTooLarge",
            f"Packed size of session policy and tags consumes {percent}% of allotted space.",
        )
    return percent

"""The operations of STS: AssumeRole, GetSessionToken and GetCallerIdentity."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from cluster.access.audit import AuditEvent
from cluster.access.calling import Call, around
from cluster.access.counting import Refusals
from cluster.access.deciding import rights_of
from cluster.access.denied import Denied
from cluster.access.directories import Directory
from cluster.access.member_key import NAME as MEMBER
from cluster.access.principals import TEMPORARY
from cluster.access.roles import session_arn
from cluster.access.sealing import NONCE_BYTES
from cluster.access.session_tokens import SessionTokens
from cluster.access.sessions import Session
from cluster.iso_times import second_text
from discovery.services.auditing import event_of
from discovery.services.callers import ServiceCallers
from discovery.services.query import FORM, Operation, Value, answer, operation_of, refusal
from discovery.services.requests import ServiceAnswer, ServiceRequest
from discovery.sts import issuing, parameters
from discovery.sts.trusting import check_may, denied
from paceline.access.policies.context import account_of
from paceline.access.policies.decisions import AccessRequest, Outcome, decide

VERSION: Final = "2011-06-15"
NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"


_KEY_ID_CHARACTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_KEY_ID_TAIL: Final = 16
_SECRET_BYTES: Final = 30

UNKNOWN_BYTES_MAX: Final = 1_024
"""Of parameters that are read before it is known who has signed: AWS says first what is wrong with
an action. To read many takes longer than to verify what they are signed with."""

GET_SESSION_TOKEN: Final = "sts:GetSessionToken"


class Sts:
    """``known``, ``callers``: None where nobody has to sign: there is nobody then to give anything
    to. ``tokens``: None without a key to seal them. ``clock``: seconds since the epoch."""

    name = "sts"
    content_types = (FORM,)

    def __init__(
        self,
        known: Directory | None,
        callers: ServiceCallers | None,
        tokens: SessionTokens | None,
        refusals: Refusals,
        clock: Callable[[], float],
    ) -> None:
        self._known = known
        self._callers = callers
        self._tokens = tokens
        self._refusals = refusals
        self._clock = clock
        self._operations: Mapping[str, Callable[[Call, Operation], Mapping[str, Value]]] = {
            "AssumeRole": self._assume_role,
            "GetSessionToken": self._get_session_token,
            "GetCallerIdentity": self._get_caller_identity,
        }

    def takes(self, request: ServiceRequest) -> bool:
        return request.method == "GET" or request.content_type == FORM

    def answer(self, request: ServiceRequest) -> ServiceAnswer:
        operation, call = Operation("", "", {}), None
        try:
            if len(request.query) + len(request.body) > UNKNOWN_BYTES_MAX:
                call = self._caller(request)
            operation = operation_of(request)
            operate = self._operation(operation)
            call = call or self._caller(request)
            result = operate(call, operation)
        except Denied as why:
            self._refusals.refused(_event(request, operation, call, why.error_name))
            return refusal(why, NAMESPACE, request.id)
        if self._refusals.allowed is not None:
            self._refusals.allowed(_event(request, operation, call))
        return answer(operation.name, NAMESPACE, result, request.id)

    def _operation(self, asked: Operation) -> Callable[[Call, Operation], Mapping[str, Value]]:
        found = self._operations.get(asked.name)
        if found is None or asked.version != VERSION:
            shown = asked.name[: parameters.SHOWN_MAX]
            raise Denied(
                "InvalidAction",
                f"Could not find operation {shown} for version"
                f" {asked.version[: parameters.SHOWN_MAX]}",
            )
        return found

    def _caller(self, request: ServiceRequest) -> Call:
        if self._callers is None:
            raise _inactive(
                "nobody has to sign in this cluster, so that there is nobody to give credentials"
                " to; set PACELINE_ACCESS__AUTHENTICATION=sigv4 on discovery and nodes"
            )
        return self._callers.verify(request, self.name, self._clock())

    def _get_caller_identity(self, call: Call, asked: Operation) -> Mapping[str, Value]:
        """Everybody may, whatever policies say, as by AWS."""
        parameters.get_caller_identity(asked.parameters)
        principal = call.by.principal
        return {
            "Arn": principal.arn,
            "UserId": principal.userid or principal.name,
            "Account": account_of(principal.arn),
        }

    def _get_session_token(self, call: Call, asked: Operation) -> Mapping[str, Value]:
        """Everybody with a key of his own may, unless a policy denies it, as by AWS."""
        duration_s = parameters.get_session_token(asked.parameters)
        by = call.by
        self._refuse_members(call, GET_SESSION_TOKEN, by.principal.arn)
        if by.key.id.startswith(TEMPORARY):
            raise Denied(
                "AccessDenied", "Cannot call GetSessionToken with session credentials", 403
            )
        rights = rights_of(by)
        now = self._clock()
        request = AccessRequest(GET_SESSION_TOKEN, by.principal.arn, around(call, now))
        if decide(rights, request).outcome is Outcome.EXPLICITLY_DENIED:
            raise denied(call, GET_SESSION_TOKEN, by.principal.arn)
        session = issuing.of_user(call, _secret(), duration_s, int(now))
        return {"Credentials": self._credentials(session)}

    def _assume_role(self, call: Call, asked: Operation) -> Mapping[str, Value]:
        request = parameters.assume_role(asked.parameters)
        self._refuse_members(call, "sts:AssumeRole", request.role_arn)
        assert self._known is not None
        before = self._session_of(call)
        request = issuing.inheriting(request, before)
        now = self._clock()
        found = self._known.role(request.role)
        role = check_may(call, request, found, issuing.actions_of(request), now)
        duration_s = issuing.duration_of(request, role, before)
        session = issuing.of_role(call, request, role, before, _secret(), duration_s, int(now))
        percent = issuing.packed_percent(session)
        arn = session_arn(role.name, session.name)
        result: dict[str, Value] = {
            "AssumedRoleUser": {"AssumedRoleId": f"{role.id}:{session.name}", "Arn": arn},
            "Credentials": self._credentials(session),
        }
        if session.policies is not None or session.tags:
            result["PackedPolicySize"] = str(percent)
        if session.source_identity:
            result["SourceIdentity"] = session.source_identity
        return result

    def _session_of(self, call: Call) -> Session | None:
        key = call.by.key
        if key.session_token is None or self._tokens is None:
            return None
        return self._tokens.session(key.id, key.session_token)

    def _credentials(self, session: Session) -> Mapping[str, Value]:
        if self._tokens is None:
            raise _inactive(
                "this process has no key to seal sessions with; set"
                " PACELINE_ACCESS__PRINCIPALS_KEY_FILE, the same on discovery and nodes"
            )
        tail = "".join(secrets.choice(_KEY_ID_CHARACTERS) for _ in range(_KEY_ID_TAIL))
        key_id = TEMPORARY + tail
        return {
            "AccessKeyId": key_id,
            "SecretAccessKey": session.secret,
            "SessionToken": self._tokens.seal(key_id, session, secrets.token_bytes(NONCE_BYTES)),
            "Expiration": second_text(session.expires_at),
        }

    @staticmethod
    def _refuse_members(call: Call, action: str, resource: str) -> None:
        """The cluster's own programs have nothing to do with sessions."""
        if call.by.key.principal == MEMBER:
            raise denied(call, action, resource)


def _event(
    request: ServiceRequest, operation: Operation, call: Call | None, reason: str = ""
) -> AuditEvent:
    name = f"sts:{operation.name[: parameters.SHOWN_MAX]}"
    return event_of(request, name, operation.parameters.get("RoleArn", ""), call, reason)


def _secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


def _inactive(why: str) -> Denied:
    return Denied("RegionDisabledException", f"STS is not activated here: {why}.", 403)

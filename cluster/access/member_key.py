"""The access key of the cluster's own programs, which look whether members answer clients. Pure.

It is made from the cluster's secret, so all of them know it, and nobody has to be told. Its
principal has no policies, and a name that no other can have: it may ask who is there, and nothing
else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime

from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from paceline.access.policies.context import arn_of
from paceline.dax.connection import ClientConnection

NAME = "paceline:member"
KEY_ID = "PLMEMBER00000000"
_INFO = b"paceline: key of members, 1"


def member_key(secret: str, cluster: str) -> AccessKey:
    digest = hmac.digest(secret.encode(), b"\0".join((_INFO, cluster.encode())), hashlib.sha256)
    return AccessKey(KEY_ID, digest.hex(), NAME)


def member_principals(secret: str, cluster: str) -> KnownPrincipals:
    principal = Principal(NAME, arn_of(NAME))
    return KnownPrincipals((principal,), (member_key(secret, cluster),))


def signed_by(key: AccessKey, region: str, clock: Callable[[], datetime]) -> Callable[[], bytes]:
    """What goes in front of a request on a DAX connection, made anew at each call. ``clock`` gives
    a time with a zone."""
    return lambda: ClientConnection().authorize(key.id, key.secret, region, clock())

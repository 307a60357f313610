"""Requests that are passed on as they came, though not understood. Pure.

They travel as the pseudo-operation ``RAW``, whose parameters are ``Target`` (the value of
X-Amz-Target), ``Body`` (bytes) and, for a write, ``Keys`` (what it may change) and ``Remakes``: the
tables of these keys may be other ones afterwards. Its result has ``Body`` and ``RequestId``. With
``Headers`` and ``Query`` it is sent with these, instead of signed.
"""

from __future__ import annotations

from paceline.types import Key, Params

RAW = "paceline.Raw"
"""The name cannot be DynamoDB's."""


def raw_params(
    target: str, body: bytes, keys: tuple[Key, ...] = (), *, remakes: bool = False
) -> Params:
    params: Params = {"Target": target, "Body": body}
    if keys:
        params["Keys"] = [list(key) for key in keys]
    if remakes:
        params["Remakes"] = True
    return params


def keys_of(params: Params) -> tuple[Key, ...]:
    """Of a raw write; they come as lists from another node."""
    return tuple((table, key) for table, key in params.get("Keys") or ())


def spoken_name(operation: str, params: Params) -> str:
    """What the caller knows the operation by."""
    return str(params["Target"]).rpartition(".")[2] if operation == RAW else operation

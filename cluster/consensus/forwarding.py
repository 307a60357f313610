"""The messages by which a participant hands proposals to the leader, and learns their place in the
log. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.consensus.core.configuration import Change
from cluster.consensus.core.messages import Message


@dataclass(frozen=True, slots=True)
class Forward:
    """A proposal for the leader. ``what`` is a command, or a change of who takes part."""

    source: str
    target: str
    request: int
    what: bytes | Change


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The leader's answer: the proposal is at ``index``, in the leader's ``term``. ``index`` 0
    means that there was nothing to change. A ``reason`` means that it was refused: it is not in the
    log and never will be."""

    source: str
    target: str
    request: int
    index: int
    term: int
    reason: str = ""


Letter = Message | Forward | Forwarded

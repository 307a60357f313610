"""Proposals that a participant hands to the leader, and where they are then. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.consensus.core.configuration import Change
from cluster.consensus.core.messages import Message


@dataclass(frozen=True, slots=True)
class Forward:
    """``what``: a command, or a change of who takes part."""

    source: str
    target: str
    request: int
    what: bytes | Change


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The leader has it at ``index``, in its ``term``; at 0, there was nothing to change. With a
    ``reason`` it is refused: not in the log, and never will be."""

    source: str
    target: str
    request: int
    index: int
    term: int
    reason: str = ""


Letter = Message | Forward | Forwarded

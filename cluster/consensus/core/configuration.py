"""Who takes part in a log: voters, whose majority decides, and learners, who only receive it.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import msgpack

_T = TypeVar("_T", int, float)

MEMBERS_MAX = 64
"""The most voters and learners of a configuration."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The names of disks, sorted. No name is both a voter and a learner."""

    voters: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for names in (self.voters, self.learners):
            if list(names) != sorted(set(names)):
                raise ValueError(f"not sorted, or a name twice: {names}")
        if set(self.voters) & set(self.learners):
            raise ValueError("a voter that is a learner, too")

    @property
    def members(self) -> tuple[str, ...]:
        return self.voters + self.learners

    def is_majority(self, names: Iterable[str]) -> bool:
        """True if a majority of the voters is among these; each counts once, others do not
        count."""
        return 2 * len(set(names) & set(self.voters)) > len(self.voters)

    def reached_by_majority(self, marks: Mapping[str, _T], missing: _T) -> _T:
        """Returns the highest mark that a majority of the voters has reached or passed."""
        found = sorted((marks.get(voter, missing) for voter in self.voters), reverse=True)
        return found[len(found) // 2] if found else missing

    def with_learner(self, name: str) -> Configuration:
        return replace(self, learners=_sorted((*self.learners, name)))

    def with_promoted(self, name: str) -> Configuration:
        learners = tuple(one for one in self.learners if one != name)
        return Configuration(_sorted((*self.voters, name)), learners)

    def without(self, name: str) -> Configuration:
        return Configuration(
            tuple(one for one in self.voters if one != name),
            tuple(one for one in self.learners if one != name),
        )

    def encode(self) -> bytes:
        data: bytes = msgpack.packb([list(self.voters), list(self.learners)])
        return data


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def decode_configuration(data: bytes) -> Configuration:
    """Raises ValueError for anything but what ``encode`` gives."""
    fields = msgpack.unpackb(data)
    if not (isinstance(fields, list) and len(fields) == 2):
        raise ValueError("a configuration is two lists")
    for names in fields:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("a configuration is two lists of names")
    if sum(map(len, fields)) > MEMBERS_MAX:
        raise ValueError(f"a configuration of more than {MEMBERS_MAX} members")
    return Configuration(tuple(fields[0]), tuple(fields[1]))


@dataclass(frozen=True, slots=True)
class AddLearner:
    name: str


@dataclass(frozen=True, slots=True)
class Promote:
    """A learner becomes a voter."""

    name: str


@dataclass(frozen=True, slots=True)
class Remove:
    name: str


Change = AddLearner | Promote | Remove
"""One member at a time: any majority before and any after have a member in common (Ongaro's thesis,
section 4.1). Adding and removing a learner changes no majority, but is counted as a change, too."""


def changed(before: Configuration, change: Change) -> Configuration:
    """Returns the configuration after the change, or the same if nothing changes. Raises
    ValueError, in words for the caller, if the change makes no sense."""
    name = change.name
    match change:
        case AddLearner():
            if name in before.members:
                return before
            if len(before.members) >= MEMBERS_MAX:
                raise ValueError(f"there are {MEMBERS_MAX} members already")
            return before.with_learner(name)
        case Promote():
            if name in before.voters:
                return before
            if name not in before.learners:
                raise ValueError(f"{name} is no learner")
            return before.with_promoted(name)
        case Remove():
            if before.voters == (name,):
                raise ValueError("the last voter cannot be removed")
            return before.without(name)


def needed_change(at: Configuration, name: str, present: bool) -> Change | None:
    """Returns what makes ``name`` a member, or none. None if it is so already."""
    if (name in at.members) == present:
        return None
    return AddLearner(name) if present else Remove(name)

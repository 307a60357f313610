"""How a cluster comes to be, and who its members are: what a run may have of that. Drawn from a
random stream of its own, so that seeds without it go as they went."""

from __future__ import annotations

import random
from dataclasses import dataclass

FOUNDING_SHARE = 0.12
STORY_SHARE = 0.12
"""Of all seeds. They exclude each other."""


@dataclass(frozen=True)
class FoundingTroubles:
    """What goes wrong while the founders found their log. Times in seconds of true time."""

    for_s: float = 4.0
    every_s: float = 0.5
    """Mean pause between two troubles."""
    at_steps: float = 0.3
    """Chance that a founder dies right after a promise, or the log, has become durable on it."""
    promise_s: float = 0.2
    """The longest that a promise takes to be durable."""
    lost: float = 0.1
    """Part of the messages."""
    emptied: float = 0.0
    """Chance that one of the disks is emptied meanwhile."""
    foreign: float = 0.0
    """Chance that one founder comes with the disk of another cluster."""


@dataclass(frozen=True)
class Story:
    """``kind``: "grow", "replace", "readmit", "recover": ``stories``."""

    kind: str
    whole_stop: bool = True
    """At the end of it all stop, and start again."""
    newcomers_lost: float = 0.0
    """Chance that the disk of one that was admitted is lost before it has anything of the log."""
    newcomers_foreign: float = 0.0
    """Chance that one that was admitted comes with the disk of another cluster."""
    shrinks: bool = False
    """What has grown goes back to one node."""
    lag_s: float = 0.0
    """How late messages of a machine may be that loses its disk, or is lost."""


def drawn_founding(rng: random.Random) -> FoundingTroubles:
    return FoundingTroubles(
        for_s=rng.choice([1.5, 4.0]),
        every_s=rng.choice([0.2, 0.5, 1.0]),
        at_steps=rng.choice([0.0, 0.2, 0.5]),
        promise_s=rng.choice([0.001, 0.1, 0.5]),
        lost=rng.choice([0.0, 0.1, 0.4]),
        emptied=rng.choice([0.0, 0.0, 1.0]),
        foreign=rng.choice([0.0, 0.0, 1.0]),
    )


def drawn_story(rng: random.Random) -> Story:
    return Story(
        kind=rng.choice(["grow", "replace", "readmit", "recover"]),
        whole_stop=rng.random() < 0.7,
        newcomers_lost=rng.choice([0.0, 0.0, 0.3]),
        newcomers_foreign=rng.choice([0.0, 0.0, 0.3]),
        shrinks=rng.random() < 0.3,
        lag_s=rng.choice([0.0, 0.3, 2.0]),
    )


NODES = {"grow": (1,), "replace": (1, 3, 3, 5), "readmit": (3, 3, 5), "recover": (2, 3, 3, 5)}
"""How many a story begins with, of which one is drawn."""

LEFT_OUT = frozenset(
    {"found anew", "new disk", "add member", "remove member", "lost tail", "flipped bit"}
)
"""Troubles that need an operator, who is busy with the story."""

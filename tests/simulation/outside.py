"""Writers outside the cluster, and how well DynamoDB Streams tell of them: what a run may have."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outside:
    """Times in seconds of true time; probabilities are per request to the stream."""

    write_every_s: float = 0.3
    """Mean pause between two writes that no node hears of. 0: there are none."""
    remake_every_s: float = 0.0
    """Mean pause between two deletions of a table behind the cluster's back. 0: there are none."""
    followed: bool = True
    """The tables have streams, and all nodes the setting ``follow_streams``."""
    images: bool = True
    """Records have both images of their item."""
    appear_s: float = 0.3
    """How long after a write its record may appear."""
    shards: int = 1
    split_every_s: float = 3.0
    """Mean pause between two ends of shards: split, or followed by one."""
    iterator_life_s: float = 5.0
    retention_s: float = 12.0
    """After which a record is gone: for the 24 hours of DynamoDB."""
    checkpoint_s: float = 1.0
    """Between two checkpoints of a table: more often than in production, as failovers are."""
    throttled: float = 0.0
    failing: float = 0.0


HORIZON_SHARE = 20 / 24
"""Of ``retention_s``: what the nodes' 20 hours are of 24."""

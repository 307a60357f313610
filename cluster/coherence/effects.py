"""What a write may change in its table's secondary indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class IndexTouch(NamedTuple):
    """A place in the secondary index ``name`` whose entries a write may change.

    ``partition`` and ``sort``: the index's own key values in canonical bytes, None: any.
    """

    name: str
    partition: bytes | None = None
    sort: bytes | None = None


class Effect(NamedTuple):
    """What a write of one key may change in its table's indexes.

    ``schema``: digest of the table's description under which this was worked out; it says nothing
    to a node that knows the table otherwise. ``touches``: nothing else in any index can change;
    None: any entry of any index may.
    """

    schema: int
    touches: tuple[IndexTouch, ...] | None


EFFECT_BYTES = 16
"""What an effect or one of its touches costs on the wire besides names and key values, at most."""


def effects_bytes(effects: Sequence[Effect | None]) -> int:
    """What effects cost on the wire, at most."""
    size = 0
    for effect in effects:
        size += EFFECT_BYTES
        if effect is not None and effect.touches:
            for touch in effect.touches:
                size += EFFECT_BYTES + len(touch.name)
                size += len(touch.partition or b"") + len(touch.sort or b"")
    return size

"""What is noted of a stack's resources where the control plane keeps its records. Pure.

A note is JSON: ``{"type": "AWS::DAX::Cluster", "name": "orders", "properties": {…}}``, with ``old``
(names of what it has replaced and that is still to be deleted), ``number`` (how many names were
generated before), ``keeps`` (it outlives the stack) and ``begun`` (it was about to be made when
this was written).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from paceline.errors import ConfigError, PacelineError

NOTE_CHARACTERS_MAX: Final = 4096
"""What discovery takes for a tag's value."""


@dataclass(frozen=True, slots=True)
class Note:
    type: str
    name: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    old: tuple[str, ...] = ()
    number: int = 0
    keeps: bool = False
    begun: bool = False

    def to_text(self) -> str:
        """ConfigError: it is too long."""
        text = json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)
        if len(text) > NOTE_CHARACTERS_MAX:
            raise ConfigError(f"{self.name}: its properties are too long to be noted")
        return text


def note_of(text: str, stack: str, id: str) -> Note:
    """PacelineError: it cannot be read."""
    try:
        read = json.loads(text)
        return Note(**{**read, "old": tuple(read.get("old", ()))})
    except (ValueError, TypeError, AttributeError) as error:
        raise PacelineError(
            f"what is noted of {id} of the stack {stack} cannot be read; a later release may have"
            f" written it: {error}"
        ) from None

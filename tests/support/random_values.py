"""Values of DynamoDB's, of every kind, for requests made up at random."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

DEPTH_MAX = 2


class RandomValues:
    """``texts``: the first of them is in no set, where DynamoDB takes no empty one."""

    def __init__(
        self, rng: random.Random, texts: Sequence[str], numbers: Sequence[str], names: Sequence[str]
    ) -> None:
        self.rng = rng
        self._texts = texts
        self._numbers = numbers
        self._names = names

    def value(self, depth: int = 0) -> dict[str, Any]:
        rng = self.rng
        kinds = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS"]
        match rng.choice(kinds if depth >= DEPTH_MAX else [*kinds, "L", "M"]):
            case "S":
                return {"S": rng.choice(self._texts)}
            case "N":
                return {"N": rng.choice(self._numbers)}
            case "B":
                return {"B": rng.randbytes(rng.randrange(3))}
            case "BOOL":
                return {"BOOL": rng.random() < 0.5}
            case "NULL":
                return {"NULL": True}
            case "SS":
                return {"SS": rng.sample(self._texts[1:], rng.randrange(1, 3))}
            case "NS":
                return {"NS": rng.sample(self._numbers, rng.randrange(1, 3))}
            case "BS":
                return {"BS": [bytes([n]) for n in rng.sample(range(4), rng.randrange(1, 3))]}
            case "L":
                return {"L": [self.value(depth + 1) for _ in range(rng.randrange(3))]}
        names = rng.sample(self._names, rng.randrange(3))
        return {"M": {name: self.value(depth + 1) for name in names}}

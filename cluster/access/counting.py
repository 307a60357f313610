"""How often callers were refused. Pure."""

from __future__ import annotations

from collections import Counter

DENIED = "AccessDeniedException"


class Refusals:
    """Requests and connections by the name of the error that they were refused with, which is one
    of a dozen: signatures that prove nothing, and what policies do not allow."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, error_name: str) -> None:
        self._counts[error_name] += 1

    def items(self) -> list[tuple[tuple[str], float]]:
        return [((name,), float(count)) for name, count in sorted(self._counts.items())]

    def as_dict(self) -> dict[str, int]:
        return dict(sorted(self._counts.items()))

"""Which index and term may follow in a log. Pure."""

from __future__ import annotations


class Order:
    """``base`` and ``base_term`` are those of the snapshot, ``last`` that of the last entry."""

    def __init__(self, base: int, base_term: int) -> None:
        self.base = base
        self._terms = [base_term]

    @property
    def last(self) -> int:
        return self.base + len(self._terms) - 1

    @property
    def last_term(self) -> int:
        return self._terms[-1]

    def copy(self) -> Order:
        copied = Order(self.base, 0)
        copied._terms = self._terms.copy()
        return copied

    def put(self, index: int, term: int, replaces: bool) -> None:
        """An entry at ``index``; with ``replaces`` in the place of the one that is there and of all
        behind it. ValueError if no log has it there."""
        if replaces:
            if not self.base < index <= self.last:
                raise ValueError(f"entry {index} replaces one of {self.base + 1} to {self.last}")
        elif index != self.last + 1:
            raise ValueError(f"entry {index} follows entry {self.last}")
        before = self._terms[index - self.base - 1]
        if term < before:
            raise ValueError(f"entry {index} is of term {term}, the one before it of {before}")
        del self._terms[index - self.base :]
        self._terms.append(term)

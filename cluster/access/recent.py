"""What is remembered of many: the latest, up to a number. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A map of at most ``most`` keys. Whatever was asked for or put among the last ``most // 2`` of
    them is there; of the others some have been forgotten. So nobody is looked for who has to go,
    however many come."""

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is None and (found := self._old.pop(key, None)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        if key not in self._young:
            self._old.pop(key, None)
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
        self._young[key] = value

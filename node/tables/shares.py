"""How much of what all share each principal has used up. Pure."""

from __future__ import annotations

SHARE_BYTES_MAX = 1024 * 1024
"""Of attribute lists, by one principal at one node since it started; the cluster keeps 12 MiB of
them. Ten thousand shapes of items have some 1 MB."""


class Shares:
    """There are as many entries as principals have called, which operators bound."""

    def __init__(self, bytes_max: int = SHARE_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self._used: dict[str, int] = {}

    def take(self, who: str, count: int) -> bool:
        """Whether ``who`` may have so many bytes more, which are counted then."""
        used = self._used.get(who, 0) + count
        if used > self.bytes_max:
            return False
        self._used[who] = used
        return True

    def give_back(self, who: str, count: int) -> None:
        self._used[who] -= count

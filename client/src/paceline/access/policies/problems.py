"""The one error of documents that cannot be read. Pure."""

from __future__ import annotations

from paceline.errors import PacelineError


class PolicyError(PacelineError):
    """A policy document that cannot be read.

    ``where`` is what the caller named the document, a file say; ``path`` the JSON path of what is
    wrong, as in ``$.Statement[0].Effect``. The message has both, what is wrong, and what is
    allowed instead.
    """

    def __init__(self, where: str, path: str, wrong: str, allowed: str) -> None:
        super().__init__(f"{where}: {path}: {wrong}; {allowed}")
        self.where = where
        self.path = path
        self.wrong = wrong
        self.allowed = allowed


class Wrong(Exception):
    """What is wrong with one value, for those who do not know where it stands."""

    def __init__(self, wrong: str, allowed: str) -> None:
        super().__init__(f"{wrong}; {allowed}")
        self.wrong = wrong
        self.allowed = allowed


def shown(value: object, characters: int = 60) -> str:
    """A value in a message: escaped, texts quoted, and cut off where it is long."""
    text = value if isinstance(value, str) else repr(value)
    cut = text if len(text) <= characters else text[:characters] + "…"
    if not cut.isprintable():
        return ascii(cut)
    return repr(cut) if isinstance(value, str) else cut

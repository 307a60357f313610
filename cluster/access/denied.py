"""A refusal, with the name, status and message by which AWS tells it. Pure."""

from __future__ import annotations


class Denied(Exception):
    """The caller's request was refused before anything was done about it.

    ``error_name`` is AWS's, as in ``__type`` without its prefix; ``message`` is to be sent as it
    is, so that it never says what the caller could not know already (a secret, which keys exist).
    ``guessed``: it may have been an attempt at somebody else's key.
    """

    def __init__(
        self, error_name: str, message: str, http_status: int = 400, *, guessed: bool = False
    ) -> None:
        super().__init__(error_name, message, http_status)
        self.error_name = error_name
        self.message = message
        self.http_status = http_status
        self.guessed = guessed

    def __str__(self) -> str:
        return f"{self.error_name}: {self.message}"

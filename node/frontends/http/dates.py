"""The date of replies, which is written once a second."""

from __future__ import annotations

from email.utils import formatdate

from node.frontends.http.messages import hit_head
from paceline.clock import wall_time

_last = (0, "", b"")


def dated() -> tuple[int, str, bytes]:
    """This second, the value of the Date header, and the beginning of a hit's reply."""
    global _last  # noqa: PLW0603 - one for all connections
    second = int(wall_time())
    if _last[0] != second:
        date = formatdate(second, usegmt=True)
        _last = (second, date, hit_head(date))
    return _last

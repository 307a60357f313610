"""Times as AWS's services and the logs have them: ISO 8601, in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def second_text(at: float) -> str:
    """``2026-01-02T03:04:05Z`` of ``at`` seconds since the epoch, whose fraction is left out."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def millisecond_text(at: float) -> str:
    """``2026-01-02T03:04:05.678Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

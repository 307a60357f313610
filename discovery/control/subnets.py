"""The file that says which zone each subnet is in: JSON, ``{"subnet-0a1b2c3d": "a"}``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from paceline.errors import ConfigError


def read_subnets(path: Path | None) -> Mapping[str, str] | None:
    """Id to zone; None without a file. ConfigError."""
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"PACELINE_SUBNETS_FILE: {path} cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(zone, str) for zone in found.values()):
        raise ConfigError(
            f"PACELINE_SUBNETS_FILE: {path} has to be a JSON object of subnets' ids and their zones"
        )
    return found

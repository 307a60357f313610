"""Durations and rates as people write them: 50ms, 10s, 2m; 100KB, 2MB."""

import re

from paceline.errors import ConfigError

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)(?:/s)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {"": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20}


def duration_s(text: str) -> float:
    """Seconds; a number alone is seconds."""
    return _quantity(text, _SECONDS, "no duration: write it as 50ms, 10s or 2m")


def rate_bytes_per_s(text: str) -> float:
    return _quantity(text, _BYTES, "no rate: write it as 100KB or 2MB, per second")


def _quantity(text: str, units: dict[str, float], wrong: str) -> float:
    found = _QUANTITY.fullmatch(text.strip())
    factor = units.get(found[2].lower()) if found is not None else None
    if found is None or factor is None:
        raise ConfigError(f"{text!r} is {wrong}")
    return float(found[1]) * factor

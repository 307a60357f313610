"""What can be wrong on a link, and how it is written as JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from paceline.dynamodb_operations import THROTTLING_ERRORS
from paceline.errors import ConfigError

Mode = Literal["pass", "blackhole", "cut"]
"""``blackhole``: bytes stop on the way and nobody is told, as in a partition; they go on when it
ends. ``cut``: connections are reset and new ones refused."""

THROTTLE_ERROR_DEFAULT = THROTTLING_ERRORS[0]
"""What DynamoDB answers for a table with provisioned capacity that is used up."""

DELAY_S_MAX = 3600.0
BYTES_PER_S_MIN = 64.0
"""Slower than this, not even a heartbeat gets through: that is a blackhole."""


@dataclass(frozen=True, slots=True)
class Faults:
    """One direction of one link: bytes that one party sends to another.

    The last four are for requests to DynamoDB: the share (0 to 1) of requests that are answered
    in its place with a throttling error, with status 500 without having been passed on, and with
    status 500 after having been carried out.
    """

    mode: Mode = "pass"
    latency_s: float = 0.0
    jitter_s: float = 0.0
    """The delay of each piece is drawn from ``latency_s`` ± this; order is kept."""
    bytes_per_s: float | None = None
    drop: float = 0.0
    """Probability with which a piece that arrives resets its connection instead."""
    throttle: float = 0.0
    throttle_error: str = THROTTLE_ERROR_DEFAULT
    errors_before: float = 0.0
    errors_after: float = 0.0

    @property
    def shaped(self) -> bool:
        return self.latency_s > 0 or self.jitter_s > 0 or self.bytes_per_s is not None

    @property
    def answers_requests(self) -> bool:
        return self.throttle > 0 or self.errors_before > 0 or self.errors_after > 0

    def to_json(self) -> dict[str, Any]:
        """Only what differs from a link without faults."""
        return {name: value for name, value in asdict(self).items() if value != _HEALTHY[name]}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        return cls(
            **{field.name: found[field.name] for field in fields(cls) if field.name in found}
        )


HEALTHY = Faults()
_HEALTHY = asdict(HEALTHY)


def check_share(value: float, what: str) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"{what} must be a share from 0 to 1, not {value:g}")
    return value


def check_delay(value: float, what: str) -> float:
    if not math.isfinite(value) or not 0 <= value <= DELAY_S_MAX:
        raise ConfigError(f"{what} must be from 0 to {DELAY_S_MAX:g} s, not {value:g}")
    return value

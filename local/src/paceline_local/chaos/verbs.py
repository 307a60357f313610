"""The chaos verbs, one frozen dataclass each: the only place that says what a verb takes. Pure.

The client sends one as the members of a JSON object, the server reads it back, the command line
makes its options from the fields, and the controller carries it out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, Self

from paceline.errors import ConfigError
from paceline_local.chaos.faults import THROTTLE_ERROR_DEFAULT


@dataclass(frozen=True, kw_only=True)
class Verb:
    name: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The members of a request. What is None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """ConfigError for a member that is missing, unknown or of another type."""
        left = dict(found)
        given = {}
        for field in fields(cls):
            value = left.pop(field.name, None)
            if value is not None:
                given[field.name] = _READERS[field.type](field.name, value)
            elif field.default is MISSING:
                raise ConfigError(f"{field.name} is missing")
        if left:
            raise ConfigError(f"unknown: {', '.join(sorted(left)):.200}")
        return cls(**given)


@dataclass(frozen=True, kw_only=True)
class Selective(Verb):
    """A verb about the programs that are named in any of these ways."""

    targets: Sequence[str] = ()
    """Node ids, ``discovery``, ``dynamodb``, ``primary``, ``replicas`` or ``zone:NAME``."""
    zone: str | None = None
    primary: bool = False

    @property
    def names_nobody(self) -> bool:
        """True if the verb is about all programs that it can be about."""
        return not self.targets and self.zone is None and not self.primary


@dataclass(frozen=True, kw_only=True)
class Lasting(Selective):
    for_s: float | None = None
    """It ends by itself after so long."""


@dataclass(frozen=True, kw_only=True)
class Kill(Lasting):
    name = "kill"


@dataclass(frozen=True, kw_only=True)
class Pause(Lasting):
    name = "pause"


@dataclass(frozen=True, kw_only=True)
class Resume(Selective):
    name = "resume"


@dataclass(frozen=True, kw_only=True)
class Restart(Selective):
    name = "restart"
    wait: bool = True
    """The answer comes when each program is ready."""


@dataclass(frozen=True, kw_only=True)
class Partition(Verb):
    """Each of ``groups`` is parted from the others; who is selected is one more, first group."""

    name = "partition"
    groups: Sequence[Sequence[str]] = ()
    zone: str | None = None
    primary: bool = False
    one_way: bool = False
    """Only what the first group sends is lost."""
    cut: bool = False
    """Connections are reset and refused; else nothing arrives and nobody is told."""
    dynamodb: bool = False
    """DynamoDB is on the far side, too."""
    channels: Sequence[str] = ()
    for_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class OnLinks(Lasting):
    """A verb about the links of the selected programs."""

    to: Sequence[str] = ()
    """The other ends; empty: every other node, and discovery."""
    one_way: bool = False
    """Only what the selected programs send is affected."""
    dynamodb: bool = False
    channels: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Latency(OnLinks):
    """Delays bytes each way: a round trip takes twice as much longer, unless it is one way."""

    name = "latency"
    latency_s: float
    jitter_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Bandwidth(OnLinks):
    """Limits each flow by itself: from one program to another, each way, per channel."""

    name = "bandwidth"
    bytes_per_s: float


@dataclass(frozen=True, kw_only=True)
class Drop(OnLinks):
    """Resets the connection of a piece that arrives, with this probability."""

    name = "drop"
    probability: float


@dataclass(frozen=True, kw_only=True)
class Throttle(Lasting):
    """This share of requests to DynamoDB is answered with ``error``, and not passed on."""

    name = "throttle"
    share: float
    error: str = THROTTLE_ERROR_DEFAULT


@dataclass(frozen=True, kw_only=True)
class DynamoDBDown(Lasting):
    """Connections to DynamoDB are refused; with ``hang``, nothing answers."""

    name = "dynamodb-down"
    hang: bool = False


@dataclass(frozen=True, kw_only=True)
class DynamoDBLatency(Lasting):
    """Delays bytes to and from DynamoDB, each way."""

    name = "dynamodb-latency"
    latency_s: float
    jitter_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DynamoDBErrors(Lasting):
    """This share of requests is answered with status 500, ``after`` being carried out or instead:
    the node cannot tell which."""

    name = "dynamodb-errors"
    share: float
    after: bool = False


@dataclass(frozen=True, kw_only=True)
class Heal(Verb):
    """Ends one ``fault``, or everything: links, pauses, and programs that are dead."""

    name = "heal"
    fault: int | None = None
    links_only: bool = False
    wait: bool = True


VERBS: Mapping[str, type[Verb]] = {
    verb.name: verb
    for verb in (
        Kill,
        Pause,
        Resume,
        Restart,
        Partition,
        Latency,
        Bandwidth,
        Drop,
        Throttle,
        DynamoDBDown,
        DynamoDBLatency,
        DynamoDBErrors,
        Heal,
    )
}


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, not {value!r:.80}")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{name} must be a number, not {value!r:.80}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{name} must be a number that is not endless")
    return number


def _whole(name: str, value: Any) -> int:
    number = _number(name, value)
    if not number.is_integer():
        raise ConfigError(f"{name} must be a whole number, not {number:g}")
    return int(number)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a text, not {value!r:.80}")
    return value


def _texts(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{name} must be a list of texts, not {value!r:.80}")
    return value


def _groups(name: str, value: Any) -> list[list[str]]:
    if not isinstance(value, list):
        raise ConfigError(f"{name} must be a list of lists of texts, not {value!r:.80}")
    return [_texts(name, one) for one in value]


_READERS: Mapping[Any, Callable[[str, Any], Any]] = {
    bool: _flag,
    float: _number,
    float | None: _number,
    int | None: _whole,
    str: _text,
    str | None: _text,
    Sequence[str]: _texts,
    Sequence[Sequence[str]]: _groups,
}
"""How a member is read, by the type of its field."""

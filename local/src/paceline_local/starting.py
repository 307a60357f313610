"""Waits until programs that were just started are ready, or says why they are not."""

import time
from collections.abc import Callable, Iterable, Mapping

from paceline import clock
from paceline.errors import PacelineError
from paceline_local.supervisor import ChildFailed, Supervisor, log_tail

START_S = 30.0
"""The time from the first process to the last one's readiness, about ten times the usual."""
POLL_S = 0.1
"""The pause between looks at starting children, which need the processor more than we do."""

_CHILD_ERROR = "paceline: error: "
"""The beginning of the line by which a program says why it could not start."""

Probe = Callable[[], str | None]
"""A function that returns None when ready, else why not yet."""


class Cancelled(PacelineError):
    """The start was given up because a stop was requested."""


def await_ready(
    supervisor: Supervisor,
    probes: Mapping[str, Probe],
    until: float,
    cancelled: Callable[[], bool],
) -> None:
    """Return when every probe was content once; ChildFailed at the first death or too late."""
    waiting = dict(probes)
    reasons: dict[str, str] = {}
    while True:
        if cancelled():
            raise Cancelled("stopped during the start")
        _raise_if_ended(supervisor, waiting)
        for name, probe in list(waiting.items()):
            reason = probe()
            if reason is None:
                del waiting[name]
            else:
                reasons[name] = reason
        if not waiting:
            return
        if clock.now() >= until:
            name = next(iter(waiting))
            raise ChildFailed(
                f"{name} was not ready within {START_S:.0f} s: {reasons[name]}"
                f"{_logs_of(supervisor, waiting)}"
            )
        time.sleep(POLL_S)


def _raise_if_ended(supervisor: Supervisor, waiting: Iterable[str]) -> None:
    exits = supervisor.take_exits()
    if not exits:
        return
    # The one that we wait for says most; another may have died of the first one's death.
    ended = next((exit for exit in exits if exit.name in set(waiting)), exits[0])
    tail = log_tail(ended.log_path)
    own = [line for line in tail.splitlines() if line.startswith(_CHILD_ERROR)]
    if own:
        raise ChildFailed(f"{ended.name}: {own[-1].removeprefix(_CHILD_ERROR)}")
    raise ChildFailed(f"{ended.describe()} during the start{_logs_of(supervisor, [ended.name])}")


def _logs_of(supervisor: Supervisor, names: Iterable[str]) -> str:
    """The last lines of these children's logs, to be put below a message."""
    children = supervisor.children
    parts = []
    for name in names:
        tail = log_tail(children[name].log_path) if name in children else ""
        if tail:
            parts.append(f"\n--- end of the log of {name}:\n{tail}")
    return "".join(parts)

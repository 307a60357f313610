"""A linearizability checker for key-value stores, in pure Python.

::

    from paceline_local.testing.linearizability import KeyValue, Recorder, check

    recorder = Recorder()
    ticket = recorder.invoke("client-1", "write", "some key", 1, at=0.0)
    recorder.returned(ticket, at=0.1)
    ticket = recorder.invoke("client-2", "read", "some key", at=0.2)
    recorder.returned(ticket, result=None, at=0.3)

    verdict = check(recorder.history(), KeyValue())
    assert not verdict
    print(verdict)

Nothing here waits, reads a clock or draws lots: the same history has the same verdict everywhere.
"""

from paceline_local.testing.linearizability.checking import check
from paceline_local.testing.linearizability.history import History, Operation, Recorder, sequential
from paceline_local.testing.linearizability.jsonlines import dumps, load, loads, save
from paceline_local.testing.linearizability.models import (
    ILLEGAL,
    Counter,
    Illegal,
    KeyValue,
    Leaves,
    Model,
    Needs,
    Register,
    Transition,
)
from paceline_local.testing.linearizability.session_guarantees import (
    Guarantee,
    Sessions,
    Violation,
    sessions,
)
from paceline_local.testing.linearizability.stale_reads import KeyStaleness, Staleness, staleness
from paceline_local.testing.linearizability.verdict import Answer, Explanation, KeyVerdict, Verdict

__all__ = [
    "ILLEGAL",
    "Answer",
    "Counter",
    "Explanation",
    "Guarantee",
    "History",
    "Illegal",
    "KeyStaleness",
    "KeyValue",
    "KeyVerdict",
    "Leaves",
    "Model",
    "Needs",
    "Operation",
    "Recorder",
    "Register",
    "Sessions",
    "Staleness",
    "Transition",
    "Verdict",
    "Violation",
    "check",
    "dumps",
    "load",
    "loads",
    "save",
    "sequential",
    "sessions",
    "staleness",
]

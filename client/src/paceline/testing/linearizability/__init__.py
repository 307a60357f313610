"""A linearizability checker for key-value stores, in pure Python.

::

    from paceline.testing.linearizability import KeyValue, Recorder, check

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

from paceline.testing.linearizability.checking import check
from paceline.testing.linearizability.history import History, Operation, Recorder, sequential
from paceline.testing.linearizability.models import (
    ILLEGAL,
    Access,
    Counter,
    Illegal,
    KeyValue,
    Model,
    Register,
)
from paceline.testing.linearizability.verdict import Answer, Explanation, KeyVerdict, Verdict

__all__ = [
    "ILLEGAL",
    "Access",
    "Answer",
    "Counter",
    "Explanation",
    "History",
    "Illegal",
    "KeyValue",
    "KeyVerdict",
    "Model",
    "Operation",
    "Recorder",
    "Register",
    "Verdict",
    "check",
    "sequential",
]

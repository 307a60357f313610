"""Which clients run every operation in the fast tier today; the full tier has those of the others.

Python's and DynamoDB's HTTP API always do. ``PACELINE_CLIENTS=N`` chooses the one besides, ``all``
takes all of them.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

CLIENTS = "PACELINE_CLIENTS"
TURNS = ("test_js_clients_v3", "test_java_client", "test_go_clients")
"""The modules that take turns."""


def choose() -> str:
    """Sets the variable, once for all workers, and returns a line that tells of it."""
    chosen = os.environ.setdefault(CLIENTS, str(datetime.now(UTC).toordinal() % len(TURNS)))
    theirs = [module for module in TURNS if is_theirs(module, chosen)]
    return f"{CLIENTS}={chosen}: every operation by {', '.join(theirs)}"


def is_theirs(module: str, chosen: str) -> bool:
    """Whether the module runs them; one that takes no turns does."""
    return module not in TURNS or chosen == "all" or TURNS.index(module) == int(chosen) % len(TURNS)

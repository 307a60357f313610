"""What tests of an application use: a whole cluster of real processes on this machine.

::

    from paceline_local.testing import LocalCluster

    with LocalCluster.start_new(nodes=3, chaos=True) as cluster:
        table = cluster.create_table("Users", "id")
        ...  # an application that connects to cluster.dax
        cluster.chaos.kill("primary")

For pytest there are fixtures, which need no import (``paceline_local.testing.plugin``). With
``LocalCluster(make_plan(...))`` every port is chosen by the caller, and nothing is started yet.

It needs ``paceline-server`` and the embedded DynamoDB (``paceline embedded install``) in the
environment that runs the tests.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paceline_local.chaos.client import Chaos
    from paceline_local.plan import make_plan
    from paceline_local.testing.local_cluster import LocalCluster

__all__ = ["Chaos", "LocalCluster", "make_plan"]

_WHERE = {
    "Chaos": "paceline_local.chaos.client",
    "LocalCluster": "paceline_local.testing.local_cluster",
    "make_plan": "paceline_local.plan",
}


def __getattr__(name: str) -> Any:
    """Imported when used: pytest imports this package in every run, for the plugin in it."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)

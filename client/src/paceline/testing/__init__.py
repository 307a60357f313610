"""What tests of an application use: a whole cluster of real processes on this machine.

::

    from paceline.testing import LocalCluster, make_plan

    with LocalCluster(make_plan(base_port=20_000)) as cluster:
        entry = cluster.entry()  # entry["dax"], entry["dynamodb"]["endpoint"], entry["nodes"], ...

With ``LocalCluster(make_plan(), chaos=True)``, ``cluster.chaos`` kills, pauses, parts and
slows down what runs (see ``Chaos``).

It needs ``paceline-server`` and the embedded DynamoDB (``paceline embedded install``) in the
environment that runs the tests.
"""

from paceline.local.chaos.client import Chaos
from paceline.local.cluster import LocalCluster
from paceline.local.plan import make_plan

__all__ = ["Chaos", "LocalCluster", "make_plan"]

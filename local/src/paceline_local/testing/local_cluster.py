"""A cluster for tests: on ports that are free, ready in seconds, with tables at hand."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from paceline import clock
from paceline.errors import ConfigError, Unavailable
from paceline_local import demo
from paceline_local.cluster import PlannedCluster
from paceline_local.environment import base_environment
from paceline_local.plan import ClusterPlan, make_plan
from paceline_local.ports import free_base_port
from paceline_local.programs import find_embedded
from paceline_local.supervisor import ChildFailed
from paceline_local.testing.schemas import key_parameters

STARTS_MAX = 5
"""The most attempts to start. Free ports may be taken by somebody else's start."""
SERVING_S = 30.0
"""The time for every node to get its first read lease, which mostly takes less than one second."""
TABLE_S = 30.0
"""The time for a table to become ACTIVE, or to be gone; an embedded DynamoDB needs none."""
_POLL_S = 0.05
_CONFLICT = "in use"
"""What our port check, the servers and the operating system all say of a port that is taken."""


class LocalCluster(PlannedCluster):
    """Nodes, discovery and a DynamoDB, as processes that end with this one at the latest.

    ``LocalCluster.start_new()`` chooses the ports; what is inherited takes a plan.
    """

    _running = False

    @classmethod
    def start_new(
        cls,
        *,
        nodes: int = 3,
        zones: Sequence[str] | None = None,
        chaos: bool = False,
        dynamodb: str = "embedded",
        demo_table: bool = False,
        primary_lease_s: float | None = None,
        tls: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> Self:
        """A cluster on free ports that is ready for clients; its caller stops it.

        ``settings``: of every node, by their names in the environment, such as
        ``PACELINE_CACHE__RECORD_TTL_MILLIS`` (docs/configuration.md). ``dynamodb``: a URL, to use
        one that runs already. ``tls``: ports with TLS besides the others; ``entry()`` has them,
        and the authority to trust (``ca``). ConfigError (not installed, wrong options) or
        ChildFailed; then nothing is left running.
        """
        find_embedded()
        environ = _with_settings(settings or {})

        def plan(base: int) -> ClusterPlan:
            return make_plan(
                nodes=nodes,
                zones=zones,
                base_port=base,
                dynamodb=dynamodb,
                primary_lease_s=primary_lease_s,
                tls=tls,
            )

        for attempt in range(1, STARTS_MAX + 1):
            base = free_base_port(lambda base: (port for _, port in plan(base).wanted_ports()))
            cluster = cls(plan(base), chaos=chaos, demo_table=demo_table, environ=environ)
            try:
                cluster.start()
            except (ConfigError, ChildFailed) as error:
                if _CONFLICT not in str(error) or attempt == STARTS_MAX:
                    raise
            else:
                break
        try:
            cluster.wait_serving()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def __enter__(self) -> Self:
        if not self._running:
            self.start()
        return self

    def start(self) -> None:
        super().start()
        self._running = True

    def stop(self) -> list[str]:
        self._running = False
        return super().stop()

    @property
    def dax(self) -> str:
        """The cluster's address for DAX clients, ``dax://127.0.0.1:PORT``."""
        return self.plan.discovery_dax

    @property
    def http(self) -> str:
        """The first node's endpoint for everything else that speaks to DynamoDB: boto3, the AWS
        CLI. Those of the other nodes are in ``entry()``."""
        return self.plan.nodes[0].http

    @property
    def dynamodb(self) -> str:
        """The endpoint of the DynamoDB behind the cluster, to look past the caches."""
        return self.plan.dynamodb.endpoint

    def wait_serving(self, timeout_s: float = SERVING_S) -> None:
        """Return when every node may answer from its cache; Unavailable if they may not in time.

        Before, and for a while after a failure, reads pass through to DynamoDB.
        """
        until = clock.now() + timeout_s
        while True:
            statuses = self.statuses()
            late = [
                node.id
                for node in self.plan.nodes
                if not (isinstance(one := statuses[node.admin], dict) and one.get("serving"))
            ]
            if not late:
                return
            if clock.now() >= until:
                raise Unavailable(
                    f"{', '.join(late)} may not answer from the cache after {timeout_s:g} s; the "
                    f"logs are in {self.directory / 'logs'}"
                )
            time.sleep(_POLL_S)

    def create_table(self, name: str, *key: str, **parameters: Any) -> str:
        """Make a table, straight on DynamoDB, and return its name when it can be used.

        ``key``: the hash attribute and maybe the range attribute, as ``"id"`` or, with a type,
        ``"at:N"``. ``parameters``: of CreateTable, such as ``GlobalSecondaryIndexes``; they may
        take the place of ``key``, too.
        """
        self._call("CreateTable", {"TableName": name, **key_parameters(key, parameters)})
        self._await_table(name, lambda found: found.get("TableStatus") == "ACTIVE", "usable")
        return name

    def delete_table(self, name: str) -> None:
        """Delete a table, straight on DynamoDB; one that is not there is none of our business."""
        try:
            self._call("DeleteTable", {"TableName": name})
        except Unavailable as error:
            if "ResourceNotFoundException" not in str(error):
                raise
            return
        self._await_table(name, lambda found: not found, "gone")

    def _await_table(self, name: str, reached: Callable[[dict[str, Any]], bool], what: str) -> None:
        until = clock.now() + TABLE_S
        while True:
            _, answer = demo.call(
                self.dynamodb, self.plan.region, "DescribeTable", {"TableName": name}
            )
            if reached(answer.get("Table") or {}):
                return
            if clock.now() >= until:
                raise Unavailable(f"table {name} is not {what} after {TABLE_S:g} s: {answer}")
            time.sleep(_POLL_S)

    def _call(self, operation: str, parameters: dict[str, Any]) -> None:
        if not self.dynamodb:
            raise ConfigError("tables are made for tests on a local DynamoDB only, not on AWS")
        status, answer = demo.call(self.dynamodb, self.plan.region, operation, parameters)
        if status != 200:
            raise Unavailable(f"{operation} at {self.dynamodb} failed: {answer or status}")


def _with_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment that children inherit."""
    dropped = sorted(settings.keys() - base_environment(settings).keys())
    if dropped:
        raise ConfigError(
            f"{', '.join(dropped)} cannot be set for every node: use settings of caches, leases "
            "and limits, by their full names such as PACELINE_CACHE__RECORD_TTL_MILLIS"
        )
    return {**os.environ, **settings}

"""Which metrics a request is about. Pure.

A metric's values are those of one node (``NodeId``), or of all nodes together. ``ClusterName`` and
``ClusterId`` are both the name of a cluster; without either it is the account's: of the nodes of
all clusters. Nodes of further clusters are kept under CLUSTER/NODE, those of the home cluster under
their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from discovery.watch.catalogue import BY_NAME, METRICS, Metric

CLUSTER: Final = ("ClusterName", "ClusterId")
NODE: Final = "NodeId"


@dataclass(frozen=True, slots=True)
class Selected:
    """``node``: as it is kept; None for all of the cluster's. ``cluster``: "" for the home cluster;
    None for all clusters."""

    metric: Metric
    node: str | None
    cluster: str | None


def selected(
    cluster: str, namespace: str, name: str, dimensions: Sequence[Mapping[str, Any]]
) -> Selected | None:
    """``cluster``: the home cluster's name. None: there is no such metric; CloudWatch has no values
    for it, and no error."""
    metric = BY_NAME.get((namespace, name))
    told = {one["Name"]: one["Value"] for one in dimensions}
    if metric is None or len(told) != len(dimensions):
        return None
    node = told.pop(NODE, None)
    if len(told) > 1 or not told.keys() <= set(CLUSTER) or (node is not None and not told):
        return None
    if not told:
        return Selected(metric, None, None)
    (named,) = told.values()
    if not named or "/" in named or (node is not None and "/" in node):
        return None
    if named == cluster:
        return Selected(metric, node, "")
    return Selected(metric, None if node is None else f"{named}/{node}", named)


def listed(
    cluster: str, nodes: Iterable[str], namespace: str | None, name: str | None
) -> Iterator[dict[str, Any]]:
    """Every metric with every set of dimensions that it has, as ListMetrics tells it. ``nodes``: as
    they are kept."""
    by_cluster: dict[str, list[str]] = {cluster: []}
    for kept in nodes:
        further, _, node = kept.rpartition("/")
        by_cluster.setdefault(further or cluster, []).append(node)
    sets: list[list[dict[str, str]]] = [[]]
    for named, own in by_cluster.items():
        for key in CLUSTER:
            whole = [{"Name": key, "Value": named}]
            sets += [whole, *([*whole, {"Name": NODE, "Value": node}] for node in own)]
    for metric in METRICS:
        if namespace in (None, metric.namespace) and name in (None, metric.name):
            for dimensions in sets:
                yield {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": dimensions,
                }


def has(metric: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it has all of the dimensions; a filter without a value takes any."""
    told = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
    return all(
        one["Name"] in told and one.get("Value") in (None, told[one["Name"]]) for one in filters
    )

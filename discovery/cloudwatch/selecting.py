"""Which metrics a request is about. Pure.

A metric's values are those of one node (``NodeId``), or of all nodes together; of one table
(``TableName``), or of all. ``ClusterName`` and
``ClusterId`` are both the name of a cluster; without either it is the account's: of the nodes of
all clusters. Nodes of further clusters are kept under CLUSTER/NODE, those of the home cluster under
their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from discovery.watch.catalogue import BY_NAME, DAX, METRICS, OWN, Metric
from discovery.watch.tables import HAVE_TABLES, MARK, kept_name, metric_of, table_of

CLUSTER: Final = ("ClusterName", "ClusterId")
NODE: Final = "NodeId"
TABLE: Final = "TableName"


@dataclass(frozen=True, slots=True)
class Selected:
    """``node``: as it is kept; None for all of the cluster's. ``cluster``: "" for the home cluster;
    None for all clusters. ``table``: None for all tables."""

    metric: Metric
    node: str | None
    cluster: str | None
    table: str | None = None

    @property
    def kept_as(self) -> str:
        return kept_name(self.metric.name, self.table)


def selected(
    cluster: str, namespace: str, name: str, dimensions: Sequence[Mapping[str, Any]]
) -> Selected | None:
    """``cluster``: the home cluster's name. None: there is no such metric; CloudWatch has no values
    for it, and no error."""
    metric = BY_NAME.get((namespace, name))
    told = {one["Name"]: one["Value"] for one in dimensions}
    if metric is None or len(told) != len(dimensions):
        return None
    node, table = told.pop(NODE, None), told.pop(TABLE, None)
    if table is not None and (not table or MARK in table or name not in HAVE_TABLES):
        return None
    if len(told) > 1 or not told.keys() <= set(CLUSTER):
        return None
    if not told:
        return Selected(metric, None, None) if node is table is None else None
    (named,) = told.values()
    if not named or "/" in named or (node is not None and "/" in node):
        return None
    if named == cluster:
        return Selected(metric, node, "", table)
    return Selected(metric, None if node is None else f"{named}/{node}", named, table)


def listed(
    cluster: str,
    nodes: Iterable[str],
    namespace: str | None,
    name: str | None,
    of_tables: Iterable[tuple[str, str]] = (),
) -> Iterator[dict[str, Any]]:
    """Every metric with every set of dimensions that it has, as ListMetrics tells it. ``nodes``: as
    they are kept; ``of_tables``: kept names of metrics of tables, each with a node that gave it."""
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

    yield from _listed_of_tables(cluster, namespace, name, of_tables)


def _listed_of_tables(
    cluster: str, namespace: str | None, name: str | None, of_tables: Iterable[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for kept, at_node in of_tables:
        further, _, node = at_node.rpartition("/")
        place = metric_of(kept), table_of(kept) or "", further or cluster
        found.setdefault(place, []).append(node)
    for (metric, table, named), nodes in found.items():
        for space in (DAX, OWN):
            if (space, metric) not in BY_NAME or namespace not in (None, space):
                continue
            of = [{"Name": TABLE, "Value": table}]
            for key in CLUSTER if name in (None, metric) else ():
                whole = [{"Name": key, "Value": named}]
                sets = [whole, *([*whole, {"Name": NODE, "Value": node}] for node in nodes)]
                for dimensions in sets:
                    yield {
                        "Namespace": space,
                        "MetricName": metric,
                        "Dimensions": [*dimensions, *of],
                    }


def has(metric: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it has all of the dimensions; a filter without a value takes any."""
    told = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
    return all(
        one["Name"] in told and one.get("Value") in (None, told[one["Name"]]) for one in filters
    )

"""The alarms that users of DAX set, for one cluster, as PutMetricAlarm takes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

DAX: Final = "AWS/DAX"
OWN: Final = "Paceline"


@dataclass(frozen=True, slots=True)
class _Kind:
    """``metric``: one, or for ``expression`` none. ``of``: by id, the metrics whose sums the
    expression is made of. ``breaches``: of so many periods all have to."""

    name: str
    words: str
    comparison: str
    threshold: float
    metric: str = ""
    statistic: str = "Average"
    namespace: str = DAX
    expression: str = ""
    of: Mapping[str, str] = field(default_factory=dict)
    period_s: int = 300
    periods: int = 2
    breaches: int = 2
    missing: str = "notBreaching"


_ABOVE: Final = "GreaterThanThreshold"
_BELOW: Final = "LessThanThreshold"

_KINDS: Final = (
    _Kind(
        "hit-rate-low",
        "Fewer than 80 % of item lookups hit: the cache is cold or too small, or items are read"
        " once only",
        _BELOW,
        80,
        expression="100 * hits / (hits + misses)",
        of={"hits": "ItemCacheHits", "misses": "ItemCacheMisses"},
        periods=3,
        breaches=3,
    ),
    _Kind("cpu-high", "More than 70 % of a core: add nodes", _ABOVE, 70, "CPUUtilization"),
    _Kind("memory-high", "More than 80 % of memory is used", _ABOVE, 80, "MemoryUtilization"),
    _Kind(
        "evictions",
        "Entries make room for others for a quarter of an hour: the cache is too small",
        *(_ABOVE, 0, "EvictedItemCount", "Sum"),
        periods=3,
        breaches=3,
    ),
    _Kind(
        "errors",
        "More than 5 % of requests fail",
        _ABOVE,
        5,
        expression="100 * failed / total",
        of={"failed": "FailedRequestCount", "total": "TotalRequestCount"},
        period_s=60,
        periods=5,
        breaches=3,
    ),
    _Kind(
        "replication-lag",
        "A node misses more than 1000 messages of the primary",
        *(_ABOVE, 1000, "ReplicationLag", "Maximum", OWN),
        period_s=60,
    ),
    _Kind(
        "no-primary",
        "No node is the primary: writes wait or fail",
        *(_BELOW, 1, "Primary", "Maximum", OWN),
        period_s=10,
        periods=3,
        breaches=3,
        missing="breaching",
    ),
)


def name_of(cluster: str, kind: str) -> str:
    return f"paceline-{cluster}-{kind}"


def names_of(cluster: str) -> list[str]:
    """In CloudWatch, where they have to be told from others'."""
    return [name_of(cluster, kind.name) for kind in _KINDS]


def alarms_of(
    cluster: str, actions: Sequence[str], period_s: int | None = None
) -> list[dict[str, Any]]:
    """``actions``: names that those who are told of a change read; none: nobody is told.
    ``period_s``: instead of each alarm's own."""
    return [_alarm(kind, cluster, actions, period_s) for kind in _KINDS]


def _alarm(
    kind: _Kind, cluster: str, actions: Sequence[str], period_s: int | None
) -> dict[str, Any]:
    dimensions = [{"Name": "ClusterName", "Value": cluster}]
    period_s = period_s or kind.period_s
    alarm: dict[str, Any] = {
        "AlarmName": name_of(cluster, kind.name),
        "AlarmDescription": kind.words,
        "ComparisonOperator": kind.comparison,
        "Threshold": kind.threshold,
        "EvaluationPeriods": kind.periods,
        "DatapointsToAlarm": kind.breaches,
        "TreatMissingData": kind.missing,
        "ActionsEnabled": True,
        "AlarmActions": list(actions),
        "OKActions": list(actions),
    }
    if not kind.expression:
        return {
            **alarm,
            "Namespace": kind.namespace,
            "MetricName": kind.metric,
            "Dimensions": dimensions,
            "Statistic": kind.statistic,
            "Period": period_s,
        }
    queries: list[dict[str, Any]] = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": kind.namespace,
                    "MetricName": metric,
                    "Dimensions": dimensions,
                },
                "Period": period_s,
                "Stat": "Sum",
            },
            "ReturnData": False,
        }
        for name, metric in kind.of.items()
    ]
    shown = {"Id": "share", "Expression": kind.expression, "Label": kind.name, "ReturnData": True}
    return {**alarm, "Metrics": [*queries, shown]}

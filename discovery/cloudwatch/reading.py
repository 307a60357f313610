"""The operations that read metrics. They run on the history's thread."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cluster.access.denied import Denied
from discovery.cloudwatch.selecting import Selected, has, listed, selected
from discovery.cloudwatch.wire import invalid
from discovery.watch.aggregation import (
    STATISTICS,
    Period,
    Value,
    aligned_start,
    is_period,
    is_statistic,
    periods,
)
from discovery.watch.expression_text import BadExpression, ids_of
from discovery.watch.expressions import Grid, Result, World, worked_out
from discovery.watch.history import COARSE_KEPT_S, History

Params = Mapping[str, Any]
Answer = dict[str, Any]

DATAPOINTS_MAX: Final = 1_440
"""Of GetMetricStatistics."""
QUERIES_MAX: Final = 500
RESULTS_MAX: Final = 100_800
"""Of GetMetricData: datapoints of one answer."""
LISTED_MAX: Final = 500
VALUES_MAX: Final = 3_000_000
"""That one request reads; a whole history of all metrics of seven nodes has so many."""


class Reading:
    """``clock``: seconds since the epoch."""

    def __init__(self, history: History, cluster: str, clock: Callable[[], float]) -> None:
        self._history = history
        self._cluster = cluster
        self._clock = clock

    # -- GetMetricStatistics ------------------------------------------------------------------

    def get_metric_statistics(self, asked: Params) -> Answer:
        start, end, period_s = asked["StartTime"], asked["EndTime"], asked["Period"]
        names, extended = asked.get("Statistics", []), asked.get("ExtendedStatistics", [])
        if start >= end:
            raise invalid("The parameter StartTime must be less than the parameter EndTime.")
        if not is_period(period_s):
            raise invalid(
                "The parameter Period must be 1, 5, 10, 20, 30 or any multiple of 60 seconds."
            )
        if bool(names) == bool(extended):
            if names:
                raise Denied(
                    "InvalidParameterCombination",
                    "The parameters Statistics and ExtendedStatistics must not be specified"
                    " together.",
                )
            raise Denied(
                "MissingParameter",
                "The parameter Statistics or ExtendedStatistics must be specified.",
            )
        for name in extended:
            if name in STATISTICS or not is_statistic(name):
                raise invalid(f"The value {name[:40]} for parameter ExtendedStatistics is invalid.")
        wanted = math.ceil((end - start) / period_s)
        if wanted > DATAPOINTS_MAX:
            raise Denied(
                "InvalidParameterCombination",
                f"You have requested up to {wanted:,} datapoints, which exceeds the limit of"
                f" {DATAPOINTS_MAX:,}. You may reduce the datapoints requested by increasing"
                " Period, or decreasing the time range.",
            )
        found = selected(
            self._cluster, asked["Namespace"], asked["MetricName"], asked.get("Dimensions", [])
        )
        points = []
        if found is not None and asked.get("Unit") in (None, found.metric.unit):
            for period in self._periods(found, start, end, period_s):
                point: Answer = {"Timestamp": period.at, "Unit": found.metric.unit}
                point.update({name: period.statistic(name) for name in names})
                if extended:
                    told = {name: period.statistic(name) for name in extended}
                    if all(one is None for one in told.values()):
                        continue
                    point["ExtendedStatistics"] = {k: v for k, v in told.items() if v is not None}
                points.append(point)
        return {"Label": asked["MetricName"], "Datapoints": points}

    def _periods(self, found: Selected, start: float, end: float, period_s: int) -> list[Period]:
        now = self._clock()
        begin = aligned_start(start, period_s, now)
        by_node = self._history.read(
            found.kept_as,
            max(begin, now - COARSE_KEPT_S),
            end,
            found.node,
            found.cluster,
        )
        return periods(found.metric.kind, by_node, begin, end, period_s)

    # -- GetMetricData ------------------------------------------------------------------------

    def get_metric_data(self, asked: Params) -> Answer:
        start, end = asked["StartTime"], asked["EndTime"]
        if start >= end:
            raise invalid("The parameter StartTime must be less than the parameter EndTime.")
        queries = asked["MetricDataQueries"]
        work = Queries(queries, start, end, self._clock(), self._cluster, self._history.read)
        results: list[Answer] = []
        descending = asked.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        count = 0
        for query in queries:
            if query.get("ReturnData", True):
                for label, series in work.results(query):
                    times = sorted(series, reverse=descending)
                    count += len(times)
                    results.append(
                        {
                            "Id": query["Id"],
                            "Label": label,
                            "Timestamps": times,
                            "Values": [series[at] for at in times],
                            "StatusCode": "Complete",
                        }
                    )
        most = min(asked.get("MaxDatapoints", RESULTS_MAX), RESULTS_MAX)
        if count > most:
            raise invalid(
                f"The request has {count:,} datapoints, and one answer at most {most:,}: ask for"
                " a longer period or a shorter time."
            )
        if asked.get("NextToken"):
            raise Denied("InvalidNextToken", "There is no more data, and no such token.")
        return {"MetricDataResults": results, "Messages": []}

    # -- ListMetrics --------------------------------------------------------------------------

    def list_metrics(self, asked: Params) -> Answer:
        token = asked.get("NextToken", "0")
        if not (token.isascii() and token.isdecimal() and len(token) < 9):
            raise invalid("The parameter NextToken is invalid.")
        metrics = [
            one
            for one in listed(
                self._cluster,
                self._history.nodes(),
                asked.get("Namespace"),
                asked.get("MetricName"),
                self._history.names_by_node(),
            )
            if has(one, asked.get("Dimensions", []))
        ]
        begin = int(token)
        end = begin + LISTED_MAX
        more = {"NextToken": str(end)} if end < len(metrics) else {}
        return {"Metrics": metrics[begin:end], **more}


Read = Callable[[str, float, float, str | None, str | None], Mapping[str, Sequence[Value]]]
"""As ``History.read``."""


class Queries:
    """The queries of one GetMetricData, or of an alarm. Values are read once, however often they
    are asked for."""

    def __init__(
        self,
        queries: Sequence[Params],
        start: float,
        end: float,
        now: float,
        cluster: str,
        read: Read,
    ) -> None:
        """Denied for queries that cannot be answered."""
        if not queries:
            raise invalid("The collection MetricDataQueries must not have a size less than 1.")
        if len(queries) > QUERIES_MAX:
            raise invalid(
                f"The collection MetricDataQueries must not have a size greater than {QUERIES_MAX}."
            )
        self._queries = {query["Id"]: query for query in queries}
        if len(self._queries) != len(queries):
            raise invalid("The values of the parameter Id are not unique.")
        for query in queries:
            _check(query)
        self._start, self._end, self._now = start, end, now
        self._cluster = cluster
        self._read = read
        self._values: dict[tuple[str, str | None, str | None], Mapping[str, Sequence[Value]]] = {}
        self._read_count = 0
        self._done: dict[str, Result] = {}
        self._under_way: set[str] = set()

    def results(self, query: Params) -> list[tuple[str, dict[int, float]]]:
        """Label and series of each that the query gives. Denied."""
        result = self._result(query["Id"])
        label = query.get("Label") or _label(query)
        if isinstance(result, float):
            raise _bad(query, "it gives a number, where there has to be a series")
        if isinstance(result, list):
            return [(f"{label} {place}", one) for place, one in enumerate(result, 1)]
        return [(label, result)]

    def _result(self, name: str) -> Result:
        if name in self._done:
            return self._done[name]
        query = self._queries.get(name)
        if query is None:
            raise BadExpression(f"there is no id {name[:40]}")
        if name in self._under_way:
            raise _bad(query, "it is made of itself")
        self._under_way.add(name)
        result: Result
        if "MetricStat" in query:
            result = self._metric(query["MetricStat"])
        else:
            try:
                result = worked_out(query["Expression"], self._world(query))
            except BadExpression as error:
                raise _bad(query, str(error)) from None
        self._under_way.discard(name)
        self._done[name] = result
        return result

    def _metric(self, stat: Params) -> dict[int, float]:
        metric, period_s = stat["Metric"], stat["Period"]
        found = selected(
            self._cluster,
            metric.get("Namespace", ""),
            metric.get("MetricName", ""),
            metric.get("Dimensions", []),
        )
        if found is None or stat.get("Unit") not in (None, found.metric.unit):
            return {}
        begin = aligned_start(self._start, period_s, self._now)
        key = found.kept_as, found.node, found.cluster
        values = self._values.get(key)
        if values is None:
            # The least that any query begins at.
            first = max(aligned_start(self._start, 3_600, self._now), self._now - COARSE_KEPT_S)
            values = self._values[key] = self._read(
                found.kept_as, first, self._end, found.node, found.cluster
            )
            self._read_count += sum(len(one) for one in values.values())
            if self._read_count > VALUES_MAX:
                raise invalid("The request is about too many values at once.")
        made: dict[int, float] = {}
        for period in periods(found.metric.kind, values, begin, self._end, period_s):
            value = period.statistic(stat["Stat"])
            if value is not None:
                made[period.at] = value
        return made

    def _world(self, query: Params) -> World:
        period_s = query.get("Period") or self._period_of(query["Id"], set()) or 300
        # FILL may ask for a value at each time of the grid.
        if (self._end - self._start) / period_s > RESULTS_MAX:
            raise BadExpression("it is about too many periods")
        begin = aligned_start(self._start, period_s, self._now)
        metrics = [
            (name, one.get("Label") or _label(one))
            for name, one in self._queries.items()
            if "MetricStat" in one
        ]
        return World(Grid(begin, self._end, period_s), self._result, metrics)

    def _period_of(self, name: str, seen: set[str]) -> int:
        """The longest of the metrics that it is made of; 0: there are none."""
        query = self._queries.get(name)
        if query is None or name in seen:
            return 0
        seen.add(name)
        if "MetricStat" in query:
            return int(query["MetricStat"]["Period"])
        names = ids_of(query["Expression"])
        if "METRICS" in query["Expression"].upper():
            names |= {one for one, told in self._queries.items() if "MetricStat" in told}
        return max((self._period_of(one, seen) for one in names), default=0)


def _label(query: Params) -> str:
    if "MetricStat" in query:
        return str(query["MetricStat"]["Metric"].get("MetricName", ""))
    return str(query["Id"])


def _bad(query: Params, why: str) -> Denied:
    return Denied("ValidationError", f"Error in expression '{query['Id'][:60]}': {why}")


def _check(query: Params) -> None:
    name = query["Id"]
    if not (name.isascii() and name.replace("_", "a").isalnum() and name[0].islower()):
        raise invalid(
            f"The value {name[:40]} for parameter Id is invalid: it begins with a small letter, and"
            " has letters, digits and underscores."
        )
    if ("MetricStat" in query) == ("Expression" in query):
        raise invalid(f"The query {name[:40]} has to have one of MetricStat and Expression.")
    period_s = query["MetricStat"]["Period"] if "MetricStat" in query else query.get("Period", 60)
    if not is_period(period_s):
        raise invalid(
            "The parameter Period must be 1, 5, 10, 20, 30 or any multiple of 60 seconds."
        )
    if "MetricStat" in query and not is_statistic(query["MetricStat"]["Stat"]):
        stat = query["MetricStat"]["Stat"][:40]
        raise invalid(f"The value {stat} for parameter Stat is not supported.")

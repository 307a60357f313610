"""Alarms: the operations on them, and their states. All of it runs on the history's thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cluster.access.denied import Denied
from cluster.iso_times import second_text
from discovery.cloudwatch.reading import Queries
from discovery.cloudwatch.wire import invalid
from discovery.watch.aggregation import MINUTE_S, is_period, is_statistic
from discovery.watch.alarms import (
    COMPARISONS,
    MISSING,
    Rule,
    State,
    Verdict,
    judged,
    range_start,
)
from discovery.watch.history import COARSE_KEPT_S, History

Params = Mapping[str, Any]
Alarm = dict[str, Any]
"""As DescribeAlarms tells it, and ``tags``."""

ALARMS_MAX: Final = 200
QUERIES_MAX: Final = 20
EVENTS_MAX: Final = 2_000
PERIODS_S_MAX: Final = 7 * 86_400
LATE_S: Final = 15
"""A node's values of a time are here so long after it."""
PAGE: Final = 50

_TEXTS: Final = ("AlarmDescription", "MetricName", "Namespace", "Statistic", "ExtendedStatistic")
_KEPT: Final = (
    *("AlarmName", *_TEXTS, "Dimensions", "Period", "Unit", "EvaluationPeriods"),
    *("DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData", "Metrics"),
    *("OKActions", "AlarmActions", "InsufficientDataActions", "ActionsEnabled"),
)
_ACTIONS: Final[Mapping[State, str]] = {
    "OK": "OKActions",
    "ALARM": "AlarmActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}


@dataclass(frozen=True, slots=True)
class Change:
    """Of a state, for those who are to be told. ``actions``: as the alarm names them."""

    alarm: Alarm
    before: State
    actions: tuple[str, ...]


class Alarms:
    """``told``: gets each change of a state; called on this thread."""

    def __init__(
        self,
        history: History,
        cluster: str,
        arn_prefix: str,
        clock: Callable[[], float],
        told: Callable[[Change], None] = lambda change: None,
    ) -> None:
        """``arn_prefix``: of an alarm's ARN, up to its name."""
        self._history = history
        self._cluster = cluster
        self._prefix = arn_prefix
        self._clock = clock
        self.told = told
        self._minute = -1

    def arns(self, names: Iterable[str]) -> list[str]:
        return [self._prefix + name for name in names]

    # -- operations ---------------------------------------------------------------------------

    def put_metric_alarm(self, asked: Params) -> dict[str, Any]:
        _check(asked)
        name = asked["AlarmName"]
        before = self._one(name)
        if before is None and len(self._history.records("alarm")) >= ALARMS_MAX:
            raise Denied("LimitExceeded", f"There are {ALARMS_MAX} alarms, which is the most.")
        now = self._clock()
        alarm: Alarm = {key: asked[key] for key in _KEPT if key in asked}
        for key in ("OKActions", "AlarmActions", "InsufficientDataActions", "Dimensions"):
            alarm.setdefault(key, [])
        alarm.setdefault("ActionsEnabled", True)
        alarm["AlarmArn"] = self._prefix + name
        alarm["AlarmConfigurationUpdatedTimestamp"] = now
        if before is None:
            alarm["StateValue"] = "INSUFFICIENT_DATA"
            alarm["StateReason"] = "Unchecked: Initial alarm creation"
            alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = now
            alarm["tags"] = {one["Key"]: one["Value"] for one in asked.get("Tags", [])}
        else:
            kept = ("StateValue", "StateReason", "StateReasonData", "StateUpdatedTimestamp")
            for key in (*kept, "StateTransitionedTimestamp", "tags"):
                if key in before:
                    alarm[key] = before[key]
        self._put(alarm)
        done = "created" if before is None else "updated"
        self._event(name, "ConfigurationUpdate", f'Alarm "{name}" {done}', {})
        return {}

    def describe_alarms(self, asked: Params) -> dict[str, Any]:
        names, prefix = asked.get("AlarmNames"), asked.get("AlarmNamePrefix")
        if names and prefix:
            raise Denied(
                "InvalidParameterCombination",
                "AlarmNames and AlarmNamePrefix must not be specified together.",
            )
        kinds = asked.get("AlarmTypes") or ["MetricAlarm"]
        found = [
            alarm
            for alarm in self._all()
            if "MetricAlarm" in kinds
            and (not names or alarm["AlarmName"] in names)
            and (not prefix or alarm["AlarmName"].startswith(prefix))
            and asked.get("StateValue") in (None, alarm["StateValue"])
            and _acts(alarm, asked.get("ActionPrefix"))
        ]
        return _page(asked, "MetricAlarms", [_shown(one) for one in found], CompositeAlarms=[])

    def describe_alarms_for_metric(self, asked: Params) -> dict[str, Any]:
        keys = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit")
        dimensions = _sorted(asked.get("Dimensions", []))
        found = [
            _shown(alarm)
            for alarm in self._all()
            if all(asked.get(key) in (None, alarm.get(key)) for key in keys)
            and _sorted(alarm["Dimensions"]) == dimensions
        ]
        return {"MetricAlarms": found}

    def describe_alarm_history(self, asked: Params) -> dict[str, Any]:
        events = [json.loads(one) for _, one in sorted(self._history.records("event").items())]
        found = [
            one
            for one in events
            if asked.get("AlarmName") in (None, one["AlarmName"])
            and asked.get("HistoryItemType") in (None, one["HistoryItemType"])
            and asked.get("StartDate", 0) <= one["Timestamp"] <= asked.get("EndDate", 1e12)
        ]
        if asked.get("ScanBy") != "TimestampAscending":
            found.reverse()
        return _page(asked, "AlarmHistoryItems", found)

    def set_alarm_state(self, asked: Params) -> dict[str, Any]:
        alarm = self._existing(asked["AlarmName"])
        if "StateReasonData" in asked:
            try:
                json.loads(asked["StateReasonData"])
            except (ValueError, RecursionError):
                raise Denied("InvalidFormat", "StateReasonData is no JSON.") from None
            alarm["StateReasonData"] = asked["StateReasonData"]
        self._change(alarm, asked["StateValue"], asked["StateReason"])
        return {}

    def delete_alarms(self, asked: Params) -> dict[str, Any]:
        for name in asked["AlarmNames"]:
            self._existing(name)
        for name in asked["AlarmNames"]:
            self._history.delete_record("alarm", name)
            self._event(name, "ConfigurationUpdate", f'Alarm "{name}" deleted', {})
        return {}

    def enable_alarm_actions(self, asked: Params) -> dict[str, Any]:
        return self._enabled(asked, True)

    def disable_alarm_actions(self, asked: Params) -> dict[str, Any]:
        return self._enabled(asked, False)

    def _enabled(self, asked: Params, enabled: bool) -> dict[str, Any]:
        for name in asked["AlarmNames"]:
            alarm = self._one(name)
            if alarm is not None:
                self._put({**alarm, "ActionsEnabled": enabled})
        return {}

    # -- tags ---------------------------------------------------------------------------------

    def tag_resource(self, asked: Params) -> dict[str, Any]:
        alarm = self._tagged(asked["ResourceARN"])
        tags = {**alarm["tags"], **{one["Key"]: one["Value"] for one in asked["Tags"]}}
        if len(tags) > 50:
            raise invalid("An alarm has at most 50 tags.")
        self._put({**alarm, "tags": tags})
        return {}

    def untag_resource(self, asked: Params) -> dict[str, Any]:
        alarm = self._tagged(asked["ResourceARN"])
        tags = {key: one for key, one in alarm["tags"].items() if key not in asked["TagKeys"]}
        self._put({**alarm, "tags": tags})
        return {}

    def list_tags_for_resource(self, asked: Params) -> dict[str, Any]:
        tags = self._tagged(asked["ResourceARN"])["tags"]
        return {"Tags": [{"Key": key, "Value": one} for key, one in tags.items()]}

    def _tagged(self, arn: str) -> Alarm:
        alarm = self._one(arn.removeprefix(self._prefix)) if arn.startswith(self._prefix) else None
        if alarm is None:
            raise Denied("ResourceNotFoundException", f"There is no {arn[:200]} here.", 404)
        return alarm

    # -- evaluation ---------------------------------------------------------------------------

    def evaluate(self) -> None:
        """As of now: those of periods shorter than a minute each time, the others once a
        minute."""
        minute = int(self._clock() // MINUTE_S)
        is_new, self._minute = minute != self._minute, minute
        for alarm in self._all():
            if not is_new and _queries(alarm)[2] >= MINUTE_S:
                continue
            verdict = self._verdict(alarm)
            if verdict.state is not None and verdict.state != alarm["StateValue"]:
                alarm["StateReasonData"] = json.dumps(
                    {"version": "1.0", "recentDatapoints": list(verdict.points)[:20]}
                )
                self._change(alarm, verdict.state, verdict.reason)

    def _verdict(self, alarm: Alarm) -> Verdict:
        queries, id_, period_s = _queries(alarm)
        rule = rule_of(alarm)
        step = min(period_s, MINUTE_S)
        end = int((self._clock() - LATE_S) // step) * step
        start = range_start(end, period_s, rule)
        try:
            work = Queries(queries, start, end, self._clock(), self._cluster, self._history.read)
            series = work.results(next(one for one in queries if one["Id"] == id_))
        except Denied as error:
            return Verdict("INSUFFICIENT_DATA", f"It cannot be worked out: {error.message}", ())
        values = series[0][1] if len(series) == 1 else {}
        times = range(end - period_s, start - 1, -period_s)
        return judged(rule, [values.get(at) for at in times])

    def _change(self, alarm: Alarm, state: State, reason: str) -> None:
        before: State = alarm["StateValue"]
        now = self._clock()
        alarm["StateValue"], alarm["StateReason"] = state, reason[:1_023]
        alarm["StateUpdatedTimestamp"] = now
        if state == before:
            self._put(alarm)
            return
        alarm["StateTransitionedTimestamp"] = now
        self._put(alarm)
        data = {
            "version": "1.0",
            "oldState": {"stateValue": before},
            "newState": {"stateValue": state, "stateReason": reason[:500]},
        }
        summary = f"Alarm updated from {before} to {state}"
        self._event(alarm["AlarmName"], "StateUpdate", summary, data)
        if alarm["ActionsEnabled"] and alarm[_ACTIONS[state]]:
            self.told(Change(alarm, before, tuple(alarm[_ACTIONS[state]])))

    # -- records ------------------------------------------------------------------------------

    def _all(self) -> list[Alarm]:
        found = self._history.records("alarm")
        return [json.loads(found[name]) for name in sorted(found)]

    def _one(self, name: str) -> Alarm | None:
        found = self._history.records("alarm").get(name)
        return None if found is None else dict(json.loads(found))

    def _existing(self, name: str) -> Alarm:
        alarm = self._one(name)
        if alarm is None:
            raise Denied("ResourceNotFound", f"There is no alarm {name[:100]}.", 404)
        return alarm

    def _put(self, alarm: Alarm) -> None:
        self._history.put_record("alarm", alarm["AlarmName"], json.dumps(alarm))

    def _event(self, name: str, kind: str, summary: str, data: Params) -> None:
        now = self._clock()
        event = {
            "AlarmName": name,
            "AlarmType": "MetricAlarm",
            "Timestamp": now,
            "HistoryItemType": kind,
            "HistorySummary": summary[:255],
            "HistoryData": json.dumps({"at": second_text(now), **data}),
        }
        self._history.append_record("event", json.dumps(event), EVENTS_MAX)


def rule_of(alarm: Params) -> Rule:
    periods = alarm["EvaluationPeriods"]
    return Rule(
        alarm["ComparisonOperator"],
        alarm["Threshold"],
        periods,
        alarm.get("DatapointsToAlarm", periods),
        alarm.get("TreatMissingData", "missing"),
    )


def _queries(alarm: Params) -> tuple[list[Params], str, int]:
    """The queries whose value it is about, the one among them, and its period."""
    if "Metrics" not in alarm:
        metric = {key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions")}
        stat = {
            "Metric": metric,
            "Period": alarm["Period"],
            "Stat": alarm.get("Statistic") or alarm["ExtendedStatistic"],
            **({"Unit": alarm["Unit"]} if "Unit" in alarm else {}),
        }
        return [{"Id": "m1", "MetricStat": stat}], "m1", alarm["Period"]
    queries: list[Params] = alarm["Metrics"]
    (shown,) = [one for one in queries if one.get("ReturnData", True)]
    periods = [one["MetricStat"]["Period"] for one in queries if "MetricStat" in one]
    return queries, shown["Id"], shown.get("Period") or max(periods, default=MINUTE_S)


def _check(asked: Params) -> None:
    if asked.get("ComparisonOperator") not in COMPARISONS:
        raise Denied("ValidationError", "ComparisonOperator is missing, or one of anomalies.")
    for key in ("EvaluationPeriods", "Threshold"):
        if key not in asked:
            raise Denied("ValidationError", f"The parameter {key} is required for this alarm.")
    if asked.get("TreatMissingData", "missing") not in MISSING:
        raise Denied("ValidationError", f"TreatMissingData is one of {', '.join(MISSING)}.")
    if asked.get("DatapointsToAlarm", 1) > asked["EvaluationPeriods"]:
        raise Denied("ValidationError", "DatapointsToAlarm is more than EvaluationPeriods.")
    if "Metrics" in asked:
        if any(key in asked for key in ("MetricName", "Namespace", "Statistic", "Period")):
            raise Denied("ValidationError", "Metrics stands for MetricName and its like.")
        if len(asked["Metrics"]) > QUERIES_MAX:
            raise Denied("ValidationError", f"Metrics has at most {QUERIES_MAX} queries.")
        if sum(one.get("ReturnData", True) for one in asked["Metrics"]) != 1:
            raise Denied("ValidationError", "One of Metrics has to have ReturnData.")
        Queries(asked["Metrics"], 0, COARSE_KEPT_S, COARSE_KEPT_S, "", lambda *_: {})
    else:
        for key in ("MetricName", "Namespace", "Period"):
            if key not in asked:
                raise Denied("ValidationError", f"The parameter {key} is required.")
        if ("Statistic" in asked) == ("ExtendedStatistic" in asked):
            raise Denied("ValidationError", "One of Statistic and ExtendedStatistic is required.")
        if not is_statistic(asked.get("Statistic") or asked["ExtendedStatistic"]):
            raise Denied("ValidationError", "ExtendedStatistic is no percentile.")
    period_s = asked["Period"] if "Metrics" not in asked else _queries(asked)[2]
    if not is_period(period_s):
        raise Denied("ValidationError", "Period must be 10, 20, 30 or a multiple of 60.")
    if period_s * asked["EvaluationPeriods"] > PERIODS_S_MAX:
        raise Denied("ValidationError", "EvaluationPeriods times Period is more than a week.")


def _shown(alarm: Alarm) -> Alarm:
    return {key: one for key, one in alarm.items() if key != "tags"}


def _acts(alarm: Alarm, prefix: str | None) -> bool:
    return prefix is None or any(
        one.startswith(prefix) for key in _ACTIONS.values() for one in alarm[key]
    )


def _sorted(dimensions: Iterable[Params]) -> list[tuple[str, str]]:
    return sorted((one["Name"], one["Value"]) for one in dimensions)


def _page(asked: Params, name: str, found: list[Any], **more: Any) -> dict[str, Any]:
    token = asked.get("NextToken", "0")
    if not (token.isascii() and token.isdecimal() and len(token) < 9):
        raise Denied("InvalidNextToken", "There is no such token.")
    begin, size = int(token), asked.get("MaxRecords", PAGE)
    end = begin + size
    following = {"NextToken": str(end)} if end < len(found) else {}
    return {name: found[begin:end], **more, **following}

"""Dashboards, which are kept as they come: no console of ours shows them. They run on the
history's thread."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cluster.access.denied import Denied
from discovery.cloudwatch.wire import invalid
from discovery.watch.history import History

Params = Mapping[str, Any]

DASHBOARDS_MAX: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")


class Dashboards:
    """``arn_prefix``: of a dashboard's ARN, up to its name."""

    def __init__(self, history: History, arn_prefix: str, clock: Callable[[], float]) -> None:
        self._history = history
        self._prefix = arn_prefix
        self._clock = clock

    def arns(self, names: list[str]) -> list[str]:
        return [self._prefix + name for name in names]

    def put_dashboard(self, asked: Params) -> dict[str, Any]:
        name, body = asked["DashboardName"], asked["DashboardBody"]
        if not _NAME.fullmatch(name):
            raise Denied(
                "InvalidParameterInput", "DashboardName has letters, digits, - and _ alone."
            )
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or not isinstance(told.get("widgets", []), list):
            raise Denied("InvalidParameterInput", "The field DashboardBody must be a valid JSON.")
        kept = self._history.records("dashboard")
        if name not in kept and len(kept) >= DASHBOARDS_MAX:
            raise Denied("InvalidParameterInput", f"There are {DASHBOARDS_MAX} dashboards already.")
        record = json.dumps({"body": body, "at": self._clock()})
        self._history.put_record("dashboard", name, record)
        return {"DashboardValidationMessages": []}

    def get_dashboard(self, asked: Params) -> dict[str, Any]:
        name = asked["DashboardName"]
        found = self._history.records("dashboard").get(name)
        if found is None:
            raise _missing(name)
        body = json.loads(found)["body"]
        return {"DashboardArn": self._prefix + name, "DashboardBody": body, "DashboardName": name}

    def list_dashboards(self, asked: Params) -> dict[str, Any]:
        if asked.get("NextToken"):
            raise invalid("The parameter NextToken is invalid.")
        entries = []
        for name, text in sorted(self._history.records("dashboard").items()):
            if name.startswith(asked.get("DashboardNamePrefix", "")):
                told = json.loads(text)
                entries.append(
                    {
                        "DashboardName": name,
                        "DashboardArn": self._prefix + name,
                        "LastModified": told["at"],
                        "Size": len(told["body"].encode()),
                    }
                )
        return {"DashboardEntries": entries}

    def delete_dashboards(self, asked: Params) -> dict[str, Any]:
        kept = self._history.records("dashboard")
        for name in asked["DashboardNames"]:
            if name not in kept:
                raise _missing(name)
        for name in asked["DashboardNames"]:
            self._history.delete_record("dashboard", name)
        return {}


def _missing(name: str) -> Denied:
    return Denied("ResourceNotFound", f"Dashboard {name[:100]} does not exist", 404)

"""Prometheus' programs, and what the repository has for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
ALERTS = MONITORING / "alerts.yml"
DASHBOARD = MONITORING / "grafana.json"
_PACKAGE = ROOT / ".tools" / "prometheus" / "usr" / "bin"


def _program(name: str) -> Path:
    return Path(shutil.which(name) or _PACKAGE / name)


PROMTOOL = _program("promtool")
"""May not exist."""
PROMETHEUS = _program("prometheus")
"""May not exist."""


def expressions() -> list[str]:
    """Of all panels of the dashboard, as Prometheus takes them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    told = [one["expr"] for panel in panels for one in panel["targets"]]
    return [one.replace("$__rate_interval", "5m").replace("$job", ".*") for one in told]


def records() -> list[str]:
    """Of rules that record."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"] if "record" in rule]


def rules() -> list[str]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]

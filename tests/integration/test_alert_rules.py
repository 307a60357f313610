"""Prometheus' own tools on the alert rules: each fires of what it is about, and of nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import ALERTS, PROMTOOL, expressions, records

SECONDS = 60
"""From one sample to the next."""
CALM = {
    'paceline_lookups_total{table="t",cache="item",result="hit",instance="n1",job="p"}': "0+900x60",
    'paceline_lookups_total{table="t",cache="item",result="miss",instance="n1",job="p"}': "0+90x60",
    'process_cpu_seconds_total{instance="n1",job="p"}': "0+20x60",
    'paceline_cache_bytes{instance="n1",job="p"}': "50x60",
    'paceline_cache_bytes_max{instance="n1",job="p"}': "100x60",
    'process_resident_memory_bytes{instance="n1",job="p"}': "50x60",
    'paceline_memory_bytes_max{instance="n1",job="p"}': "100x60",
    'paceline_evictions_total{instance="n1",job="p"}': "0x60",
    'paceline_requests_total{operation="GetItem",table="t",protocol="dax",result="ok",instance="n1",job="p"}': "0+600x60",  # noqa: E501
    'paceline_requests_total{operation="GetItem",table="t",protocol="dax",result="error",instance="n1",job="p"}': "0+6x60",  # noqa: E501
    'paceline_requests_total{operation="GetItem",table="t",protocol="dax",result="fault",instance="n1",job="p"}': "0x60",  # noqa: E501
    'paceline_requests_total{operation="GetItem",table="t",protocol="dax",result="throttled",instance="n1",job="p"}': "0x60",  # noqa: E501
    'paceline_replication_lag{instance="n1",job="p"}': "3x60",
    'paceline_primary{instance="n1",job="p"}': "1x60",
    'paceline_primary{instance="n2",job="p"}': "0x60",
    'paceline_serving{instance="n1",job="p"}': "1x60",
    'paceline_request_seconds_bucket{operation="GetItem",cache="miss",le="0.01",instance="n1",job="p"}': "0+90x60",  # noqa: E501
    'paceline_request_seconds_bucket{operation="GetItem",cache="miss",le="1.0",instance="n1",job="p"}': "0+90x60",  # noqa: E501
    'paceline_request_seconds_bucket{operation="GetItem",cache="miss",le="+Inf",instance="n1",job="p"}': "0+90x60",  # noqa: E501
    'paceline_loop_delay_seconds_bucket{le="0.05",instance="n1",job="p"}': "0+240x60",
    'paceline_loop_delay_seconds_bucket{le="1.0",instance="n1",job="p"}': "0+240x60",
    'paceline_loop_delay_seconds_bucket{le="+Inf",instance="n1",job="p"}': "0+240x60",
    'paceline_tls_certificate_not_after_timestamp_seconds{instance="n1",job="p"}': "9999999x60",
    'paceline_member_certificate_expires_in_seconds{instance="n1",job="p"}': "2000000x60",
}
BAD: dict[str, dict[str, str]] = {
    "PacelineHitRateLow": {r"lookups.*item.*miss": "0+400x60"},
    "PacelineCpuHigh": {"process_cpu": "0+50x60"},
    "PacelineCacheMemoryHigh": {"cache_bytes{": "90x60", "evictions": "0+1x60"},
    "PacelineMemoryHigh": {"resident": "81x60"},
    "PacelineEvictions": {"evictions": "0+30x60"},
    "PacelineErrors": {'result="error"': "0+60x60"},
    "PacelineFaults": {'result="fault"': "0+1x60"},
    "PacelineThrottled": {'result="throttled"': "0+1x60"},
    "PacelineReplicationLag": {"replication_lag": "1001x60"},
    "PacelineNoPrimary": {r'primary{instance="n1"': "0x60"},
    "PacelineNotServing": {"serving": "0x60"},
    "PacelineSlowMisses": {r'request_seconds.*le="0.01"': "0+45x60"},
    "PacelineLoopDelayed": {r'loop_delay.*le="0.05"': "0+120x60"},
    "PacelineCertificateExpires": {"not_after": "600000x60"},
    "PacelineMemberCertificateExpires": {"member_certificate": "86400x60"},
}
"""Of each alert the series that are other ones while it fires, by a part of their names."""

needs_promtool = pytest.mark.skipif(not PROMTOOL.exists(), reason="promtool is not installed")


def alerts() -> list[str]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


def series(changes: dict[str, str]) -> list[dict[str, str]]:
    found = dict(CALM)
    for part, values in changes.items():
        names = [name for name in CALM if re.search(part, name)]
        assert names, part
        found.update(dict.fromkeys(names, values))
    return [{"series": name, "values": values} for name, values in found.items()]


def checked(directory: Path, tests: list[dict[str, Any]]) -> None:
    file = directory / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": tests}))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", file], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_what_raises_it() -> None:
    assert set(alerts()) == set(BAD)


@needs_promtool
def test_a_healthy_cluster_raises_nothing(tmp_path: Path) -> None:
    quiet = [{"eval_time": "59m", "alertname": name, "exp_alerts": []} for name in alerts()]
    checked(tmp_path, [{"interval": "1m", "input_series": series({}), "alert_rule_test": quiet}])


@needs_promtool
@pytest.mark.parametrize("alert", BAD)
def test_an_alert_fires(tmp_path: Path, alert: str) -> None:
    """``ALERTS`` is what Prometheus says of alerts: no text of an annotation is needed for it."""
    rules = [
        {
            "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > 0',
            "eval_time": "59m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
    ]
    checked(
        tmp_path,
        [{"interval": "1m", "input_series": series(BAD[alert]), "promql_expr_test": rules}],
    )


@needs_promtool
def test_every_expression_has_a_value_of_a_cluster(tmp_path: Path) -> None:
    """Of the dashboard, and of rules that record; those that alert have values above."""
    more = {
        'paceline_connections{protocol="dax",instance="n1",job="p"}': "3x60",
        'paceline_network_bytes_total{direction="in",instance="n1",job="p"}': "0+60x60",
        'paceline_read_capacity_consumed_units_total{table="t",source="estimate",instance="n1",job="p"}': "0+6x60",  # noqa: E501
        'paceline_write_capacity_consumed_units_total{table="t",source="told",instance="n1",job="p"}': "0+6x60",  # noqa: E501
        'paceline_read_capacity_saved_units_total{table="t",instance="n1",job="p"}': "0+60x60",
        'paceline_fence_wait_seconds_bucket{le="0.01",instance="n1",job="p"}': "0+6x60",
        'paceline_fence_wait_seconds_bucket{le="+Inf",instance="n1",job="p"}': "0+6x60",
        'paceline_hit_age_seconds_bucket{table="t",le="60.0",instance="n1",job="p"}': "0+6x60",
        'paceline_hit_age_seconds_bucket{table="t",le="+Inf",instance="n1",job="p"}': "0+6x60",
    }
    told = series({}) + [{"series": name, "values": values} for name, values in more.items()]
    asked = [*expressions(), *records()]
    assert len(asked) > 20
    tests = [
        {
            "expr": f"count({expression}) > bool 0",
            "eval_time": "59m",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for expression in asked
    ]
    checked(tmp_path, [{"interval": "1m", "input_series": told, "promql_expr_test": tests}])

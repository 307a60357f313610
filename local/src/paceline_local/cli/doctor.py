"""``paceline doctor``: prints what an examination finds."""

from __future__ import annotations

import json
import os
import sys
from functools import partial

from paceline.errors import ConfigError
from paceline_local.cli.operate import find_cluster
from paceline_local.cli.output import console
from paceline_local.doctor.examination import examine
from paceline_local.doctor.findings import Finding, Level
from paceline_local.doctor.reaching import check_ca
from paceline_local.doctor.target import target_of

_MARKS = {
    Level.OK: "[green]ok[/]      ",
    Level.SKIPPED: "[dim]skipped[/] ",
    Level.WARNING: "[yellow]warning[/] ",
    Level.PROBLEM: "[red]problem[/] ",
}


def run(
    url: str | None,
    table: str | None,
    ca: str | None,
    output: str,
    base_port: int,
    admin: str | None,
) -> int:
    """Returns 1 if there is a problem. ``admin`` or, without a URL, ``base_port`` lead to the
    nodes' admin addresses."""
    if output not in ("text", "json"):
        raise ConfigError(f"--output {output!r} is neither 'text' nor 'json'")
    check_ca(ca)
    target = target_of(url, os.environ)
    looks_inside = admin is not None or url is None
    cluster = partial(find_cluster, base_port, admin) if looks_inside else None
    if output == "json":
        found: list[Finding] = []
        good = examine(target, os.environ, found.append, ca=ca, table=table, cluster=cluster)
        told = {"url": target.url, "good": good, "findings": [one.fields() for one in found]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0 if good else 1
    console().print(f"{target.url}", style="bold", markup=False)
    good = examine(target, os.environ, _tell, ca=ca, table=table, cluster=cluster)
    return 0 if good else 1


def _tell(finding: Finding) -> None:
    out = console()
    out.print(_MARKS[finding.level], end="")
    out.print(f"{finding.check}: {finding.found}", markup=False, highlight=False, soft_wrap=True)
    if finding.advice:
        out.print(f"         -> {finding.advice}", markup=False, highlight=False, soft_wrap=True)

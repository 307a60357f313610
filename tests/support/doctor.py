"""``paceline doctor``, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

COMMAND_S = 60.0


def doctor(*words: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Its exit code, and what it tells as JSON. Of AWS's variables it has those of
    ``environment`` alone."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ran = subprocess.run(
        [sys.executable, "-m", "paceline_local.cli.main", "doctor", *words, "--output", "json"],
        env={**others, **environment},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return ran.returncode, told

"""``paceline doctor``, in this process."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from typing import Any
from unittest import mock

from paceline_local.cli.main import run


def doctor(*words: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Its exit code, and what it tells as JSON. Of AWS's variables it has those of
    ``environment`` alone."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, {**others, **environment}, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = run(["doctor", *words, "--output", "json"])
    assert code in (0, 1), err.getvalue()
    told: dict[str, Any] = json.loads(out.getvalue())
    return code, told

"""``paceline doctor``, in this process."""

from __future__ import annotations

import json
import os
from typing import Any
from unittest import mock

from tests.support.principals import paceline_here


def doctor(*words: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Its exit code, and what it tells as JSON. Of AWS's variables it has those of
    ``environment`` alone."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with mock.patch.dict(os.environ, {**others, **environment}, clear=True):
        code, out, err = paceline_here("doctor", *words, "--output", "json")
    assert code in (0, 1), err
    told: dict[str, Any] = json.loads(out)
    return code, told

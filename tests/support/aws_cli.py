"""The AWS CLI, many commands in one process: a process each would take a second each.

``AwsCli.run`` gives a command's exit code and output. Run by the CLI's own Python, this file is
that process: a line of JSON in, a line of JSON out.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

PYTHON = Path(__file__).parents[2] / ".tools" / "venv" / "bin" / "python"


class AwsCli:
    """``settings``: of the environment, besides ``PATH``."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(PYTHON), __file__],
            env={"PATH": os.environ["PATH"], **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def run(self, words: list[str]) -> tuple[int, str]:
        """``words``: without ``aws``. The output has what went wrong, too."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        code, output = json.loads(self._process.stdout.readline())
        return code, output


def serve() -> None:
    from awscli.clidriver import create_clidriver  # type: ignore[import-not-found]

    answers = sys.stdout
    driver = create_clidriver()  # its session and what it has loaded serve all commands
    for line in sys.stdin:
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                code = driver.main(json.loads(line))
            except SystemExit as end:
                code = end.code
        answers.write(json.dumps([code, output.getvalue()]) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()

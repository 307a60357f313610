"""The runs of a suite straight on a cluster's DynamoDB and through its nodes, and the report."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.foreign.compare import Comparison, compared, outcomes
from tests.foreign.spread import HOST, spread

TIMEOUT_S = 3600.0
"""For one run. Suites of thousands of tests take minutes."""

ENDPOINT = "{endpoint}"
NAMED = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS")
"""Where the AWS SDKs look for an endpoint."""


def main(arguments: list[str]) -> int:
    """0: nothing passes straight only; 1: something does; 2: a run made no report."""
    options = _parser().parse_args(arguments)
    ready = json.loads(Path(options.ready_file).read_text())
    with tempfile.TemporaryDirectory() as directory:
        reports = [
            [Path(directory, f"{way}-{number}.xml") for number in range(options.runs)]
            for way in ("straight", "through")
        ]
        try:
            asyncio.run(_both(options, ready, reports))
            straight, through = ([outcomes(one.read_text()) for one in way] for way in reports)
            found = compared(straight, through)
        except (OSError, TimeoutError, ValueError) as error:
            print(f"a run made no report: {error}", file=sys.stderr)
            return 2
    print(summary(found))
    return 1 if found.only_straight else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.foreign",
        description="Runs a pytest command straight on the DynamoDB of a cluster and through its "
        "HTTP API, and prints the tests that pass straight only. {endpoint} stands for the "
        "endpoint in the command and is set for AWS SDKs in the environment.",
    )
    parser.add_argument("--ready-file", required=True, help="what `paceline up` wrote")
    parser.add_argument(
        "--spread", action="store_true", help="each request goes to the next of all nodes"
    )
    parser.add_argument("--runs", type=int, default=1, help="how often each way (default: 1)")
    parser.add_argument("--cwd", default=".", help="where to run it")
    parser.add_argument("command", nargs="+", help="after --, for instance: pytest -q tests")
    return parser


async def _both(
    options: argparse.Namespace, ready: Mapping[str, Any], reports: list[list[Path]]
) -> None:
    async with AsyncExitStack() as stack:
        nodes = [str(node["http"]) for node in ready["nodes"]]
        through = nodes[0]
        if options.spread:
            ports = [int(node.rpartition(":")[2]) for node in nodes]
            through = f"http://{HOST}:{await stack.enter_async_context(spread(ports))}"
        for endpoint, way in zip(
            (str(ready["dynamodb"]["endpoint"]), through), reports, strict=True
        ):
            for report in way:
                await _run(options, endpoint, report)


async def _run(options: argparse.Namespace, endpoint: str, report: Path) -> None:
    command = [part.replace(ENDPOINT, endpoint) for part in options.command]
    environment = {**os.environ, **dict.fromkeys(NAMED, endpoint)}
    print(f"on {endpoint}: {' '.join(command)}", flush=True)
    process = await asyncio.create_subprocess_exec(
        *command, f"--junitxml={report}", cwd=options.cwd, env=environment
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def summary(found: Comparison) -> str:
    straight, through = found.passed
    lines = [f"{len(found.straight)} tests: {straight} pass straight, {through} through"]
    lines += [f"passes in some runs through only: {name}" for name in found.unsure]
    lines += [f"passes straight only: {name}" for name in found.only_straight]
    return "\n".join(lines)

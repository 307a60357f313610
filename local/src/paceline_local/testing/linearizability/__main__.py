"""``python -m paceline_local.testing.linearizability FILE.jsonl``: the verdict per key.

Ends with 0 if every key is ok, 1 if any is illegal, 2 if any is unknown and none illegal, and 64 if
the file or the command line is wrong.
"""

import argparse
import json
import sys
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from paceline_local.testing.linearizability.checking import STEPS_MAX, check
from paceline_local.testing.linearizability.history import History
from paceline_local.testing.linearizability.jsonlines import from_json, load, loads
from paceline_local.testing.linearizability.models import Counter, KeyValue, Model, Register
from paceline_local.testing.linearizability.session_guarantees import sessions
from paceline_local.testing.linearizability.stale_reads import staleness
from paceline_local.testing.linearizability.verdict import Answer

EXIT: Final = {Answer.OK: 0, Answer.ILLEGAL: 1, Answer.UNKNOWN: 2}
EXIT_USAGE: Final = 64
"""EX_USAGE of sysexits.h. argparse's own 2 already means 'unknown'."""

VIOLATIONS_SHOWN: Final = 20


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    out = out or sys.stdout
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        history = loads(sys.stdin) if str(options.file) == "-" else load(options.file)
        model = _model(options.model, options.initial)
        return _report(history, model, options, out)
    except (OSError, ValueError) as error:
        parser.error(f"{options.file}: {error}")


def _report(history: History, model: Model[Any], options: argparse.Namespace, out: TextIO) -> int:
    verdict = check(history, model, steps_max=options.steps_max)
    for key in verdict.keys.values():
        out.write(f"{key}\n")
    if options.staleness:
        stale = staleness(history, model)
        for entry in stale.keys.values():
            bound = "" if entry.exact else " at least"
            read = "" if entry.read is None else f"; stalest: {entry.read}, behind {entry.newer}"
            out.write(f"key {entry.key!r}: staleness{bound} {entry.delta:.6g}{read}\n")
    if options.sessions:
        found = sessions(history, model)
        for violation in found.violations[:VIOLATIONS_SHOWN]:
            out.write(f"{violation}\n")
        for guarantee, count in found.counts().items():
            out.write(f"{guarantee.value}: {count} violations\n")
        out.write(f"{found.reads} reads judged, {found.unjudged} not\n")
    out.write(f"{verdict.answer.value}\n")
    return EXIT[verdict.answer]


def _model(name: str, initial: str) -> Model[Any]:
    value: Hashable = from_json(json.loads(initial)) if initial else None
    if name == "counter":
        if value is not None and not isinstance(value, int):
            raise ValueError(f"a counter does not begin with {value!r}")
        return Counter(value or 0)
    return Register(value) if name == "register" else KeyValue(value)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m paceline_local.testing.linearizability",
        description="Checks whether a history of operations is linearizable.",
    )
    parser.add_argument("file", type=Path, help="one operation a line, as JSON; - is stdin")
    parser.add_argument(
        "--model", choices=("key-value", "register", "counter"), default="key-value"
    )
    parser.add_argument("--initial", default="", help="what every key begins with, as JSON")
    parser.add_argument(
        "--steps-max", type=int, default=STEPS_MAX, help="budget of the search for each key"
    )
    parser.add_argument("--staleness", action="store_true", help="also measure stale reads")
    parser.add_argument("--sessions", action="store_true", help="also check session guarantees")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""``paceline member remove --unsafe-recover``: see ``cluster.recovery``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.recovery import recover
from cluster.service.lifecycle import report_config_error
from paceline.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code. ``argv`` is without the program's name."""
    parser = argparse.ArgumentParser(
        prog="paceline member remove --unsafe-recover",
        description="Makes a member that is left the only one, after a majority was lost for good.",
    )
    parser.add_argument("lost", nargs="+", metavar="ID", help="every other member")
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        done = recover(options.data_dir, options.lost)
    except ConfigError as error:
        return report_config_error(error)
    lost = ", ".join(done.lost)
    sys.stdout.write(
        f"{done.survivor} is the only member of its log now, which ends with entry "
        f"{done.last_index}; what others had decided after that is forgotten.\n"
        f"{lost} must never run again with the directories that they had. Start "
        f"{done.survivor}; what was cached is unknown at first. Then add new members.\n"
    )
    if done.mending:
        sys.stdout.write("Its disk had lost entries that were durable before.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

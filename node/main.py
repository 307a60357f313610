"""``paceline node``: one cache node."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from cluster.service.configuration import config_path, load_settings
from cluster.service.lifecycle import report_config_error, run_program
from cluster.service.logs import configure_logs
from cluster.settings import NodeSettings
from cluster.transport.large_work import COLLECTING
from node.admin.addresses import check, within_files
from node.program import NodeProgram
from paceline.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until a signal or the parent's death; returns the exit code. ``argv`` is without the
    program's name."""
    path = config_path("paceline node", sys.argv[1:] if argv is None else argv)
    try:
        settings = load_settings(NodeSettings, path)
        check(settings)
        configure_logs(settings.program, settings.log_level)
        settings = within_files(settings)
    except ConfigError as error:
        return report_config_error(error)
    program = NodeProgram(settings)
    # Its cache keeps millions of entries in a few lists that stay as long as the process. Frozen,
    # they are no part of full collections; what else was made so far stays, too.
    gc.freeze()
    gc.set_threshold(*COLLECTING)
    return run_program(
        program.start,
        parent_fd=settings.parent_fd,
        # The wait outside the roster comes on top: what is left of it is for work and hand-over.
        stop_grace_s=settings.stop_grace_s + settings.drain_s,
    )


if __name__ == "__main__":
    raise SystemExit(main())

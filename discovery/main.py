"""``paceline discovery``: tells clients who is in the cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cluster.service.configuration import config_path, load_settings
from cluster.service.lifecycle import report_config_error, run_program
from cluster.service.logs import configure_logs
from cluster.settings import DiscoverySettings
from discovery.program import check, discovery_program
from paceline.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until a signal or the parent's death; returns the exit code. ``argv`` is without the
    program's name."""
    path = config_path("paceline discovery", sys.argv[1:] if argv is None else argv)
    try:
        settings = load_settings(DiscoverySettings, path)
        check(settings)
    except ConfigError as error:
        return report_config_error(error)
    configure_logs(settings.program, settings.log_level)
    return run_program(
        discovery_program(settings),
        parent_fd=settings.parent_fd,
        stop_grace_s=settings.stop_grace_s,
    )


if __name__ == "__main__":
    raise SystemExit(main())

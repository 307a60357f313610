"""What the command line says when something went wrong. It loads nothing."""

import sys


def print_error(message: str) -> None:
    """One line on stderr; further lines of ``message`` are a log's, and follow it."""
    sys.stderr.write(f"paceline: error: {message.rstrip()}\n")
    sys.stderr.flush()

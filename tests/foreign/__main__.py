"""Runs a test suite of somebody else's twice: see docs/conformance.md."""

import sys

from tests.foreign.runs import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

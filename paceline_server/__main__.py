"""``paceline-server node|discovery|recover``: runs one program of the server distribution.

In a wheel the packages ``cluster``, ``node`` and ``discovery`` lie under ``_root``, so that an
application that installs the distribution never gets top-level packages of those names; only
this entry point puts them on the path. In a checkout they are importable already.
"""

import os
import sys
from pathlib import Path

from paceline_server.imports import spared

_ROOT = Path(__file__).parent / "_root"

USAGE = "usage: paceline-server node|discovery|recover [options]"


def main() -> None:
    if _ROOT.is_dir():
        sys.path.insert(0, str(_ROOT))
    # Else gRPC writes a line of its own for every stranger whose handshake fails.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with spared():
        match sys.argv[1:2]:
            case ["node"]:
                from node.main import main as run  # noqa: PLC0415
            case ["recover"]:
                from cluster.service.recovery_main import main as run  # noqa: PLC0415
            case ["discovery"]:
                from discovery.main import main as run  # noqa: PLC0415
            case _:
                sys.stderr.write(USAGE + "\n")
                raise SystemExit(2)
    code = run(sys.argv[2:])
    # Everything has been stopped in order. Taking the interpreter apart would free every cached
    # entry and wait for gRPC's threads: seconds in which a supervisor thinks that it hangs.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

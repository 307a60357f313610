"""The process that all links go through: ``python -m paceline_local.chaos PLAN READY``.

PLAN: JSON with ``token``, ``taken`` (ports not to use) and ``links``. READY is written when all
ports are bound: JSON with the port for ``commands`` and the ``ports`` of the links, in order.
"""

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paceline_local.chaos.layout import LinkSpec
from paceline_local.chaos.proxies import CommandServer, Proxies
from paceline_local.supervisor import PARENT_FD_VARIABLE

FILES_WANTED = 16_384
"""Each connection through a proxy takes two descriptors, each link two more."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where the servers are installed, which bring it: an application need not have it."""
    if importlib.util.find_spec("uvloop") is not None:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
            "uvloop"
        ).new_event_loop
        return factory
    return asyncio.new_event_loop


async def serve(plan: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
    """Runs until a signal, or the end of the cluster's process. ``tell`` gets the ports."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    parent = os.environ.get(PARENT_FD_VARIABLE)
    if parent is not None:
        watch_parent(int(parent), lambda: loop.call_soon_threadsafe(stopped.set))
    proxies = Proxies([LinkSpec(**link) for link in plan["links"]], random.Random())
    commands = CommandServer(proxies, plan["token"])
    try:
        ports = proxies.open(frozenset(plan["taken"]))
        tell({"commands": await commands.start(), "ports": ports})
        await stopped.wait()
    finally:
        await commands.close()
        await proxies.close()


def watch_parent(descriptor: int, gone: Callable[[], object]) -> None:
    """Waits for the parent's end by a blocking read in a thread: the pipe is shared with every
    other child, and an event loop would make it non-blocking for them all."""

    def watch() -> None:
        # Nothing is ever written: this returns when the parent is gone, with no deadline.
        os.read(descriptor, 1)
        gone()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def raise_file_limit() -> None:
    import resource  # noqa: PLC0415  there is none on Windows, where nothing of this runs

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> int:
    plan_file, ready_file = Path(sys.argv[1]), Path(sys.argv[2])

    def tell(ready: dict[str, Any]) -> None:
        temporary = ready_file.with_suffix(".new")
        temporary.write_text(json.dumps(ready), encoding="utf-8")
        temporary.replace(ready_file)

    raise_file_limit()
    try:
        plan = json.loads(plan_file.read_text(encoding="utf-8"))
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(serve(plan, tell))
    except OSError as error:
        sys.stderr.write(f"paceline: error: the proxies cannot start: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

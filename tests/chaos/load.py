"""One load as a process of its own: ``python -m tests.chaos.load '{"kind": "protocol", …}'``.

Clients that share an interpreter with the tests would be measured with it. It prints a line of
JSON with its tally every ``TELL_S`` seconds, stops when its standard input ends, and then writes
what its clients did to a file.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvloop

from paceline_local.testing.linearizability import Operation, load, save
from tests.chaos.clients import Load, OfficialLoad, ProtocolLoad
from tests.chaos.records import Tally

ROOT = Path(__file__).parents[2]
TELL_S = 0.05
START_S = 30.0
STOP_S = 60.0
"""Longer than any single call waits: a write 15 s for a primary, twice."""


def main() -> None:
    options = json.loads(sys.argv[1])
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    more = {key: options[key] for key in ("name", "table", "seed")}
    clients: Load
    if options["kind"] == "protocol":
        addresses = {node: (host, port) for node, (host, port) in options["addresses"].items()}
        clients = ProtocolLoad(addresses, **more)
        uvloop.run(_run_protocol(clients, ended))
    else:
        clients = _official(options["dax"], more, ended)
        clients.start()
        while not ended.wait(TELL_S):
            _tell(clients)
        clients.stop(STOP_S)
    _tell(clients)
    save(clients.operations, Path(options["out"]))
    save(clients.repeats, Path(options["repeats"]))
    sys.stdout.flush()
    # Threads of the official client may outlive it.
    os._exit(0)


async def _run_protocol(clients: ProtocolLoad, ended: threading.Event) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(clients.run(stop))
    while not ended.is_set() and not running.done():
        _tell(clients)
        await asyncio.sleep(TELL_S)
    stop.set()
    await running


def _official(dax: str, more: dict[str, str], ended: threading.Event) -> OfficialLoad:
    """A client gives up at once where discovery cannot be reached, so it is made again."""
    until = time.monotonic() + START_S
    while True:
        try:
            return OfficialLoad(dax, **more)
        except Exception:
            if time.monotonic() > until or ended.wait(0.2):
                raise


def _tell(clients: Load) -> None:
    print(json.dumps(asdict(clients.tally)), flush=True)


class LoadProcess:
    """The other side: starts a load, knows its latest tally, and gets its operations at the end."""

    def __init__(self, directory: Path, name: str, **options: Any) -> None:
        """``options``: ``kind`` and ``table``, ``seed``, and ``addresses`` or ``dax``."""
        self.name = name
        self.tally = Tally()
        self._out = directory / f"{name}.jsonl"
        self._log = directory / f"{name}.log"
        self._repeats = directory / f"{name}-repeats.jsonl"
        self._options = {
            **options,
            "name": name,
            "out": str(self._out),
            "repeats": str(self._repeats),
        }

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.load", json.dumps(self._options)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """No new calls; those under way are waited for. May be called twice."""
        self.end_soon()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def end_soon(self) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wrote_since(self, since: float) -> bool:
        """Whether a write that began after ``since`` was acknowledged."""
        return self.tally.last_write_begun >= since

    def operations(self) -> tuple[list[Operation], list[Operation]]:
        """All that was done, and attempts that were made up for; after ``stop``."""
        if self._process.returncode != 0 or not self._out.exists():
            raise AssertionError(
                f"the load {self.name} ended with {self._process.returncode}:\n"
                + self._log.read_text(errors="replace")[-4000:]
            )
        return list(load(self._out)), list(load(self._repeats))

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                found = json.loads(line)
                for field in fields(Tally):
                    setattr(self.tally, field.name, found[field.name])


if __name__ == "__main__":
    main()

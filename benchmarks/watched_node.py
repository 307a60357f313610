"""A node that notes what kept its event loop, for ``benchmarks.beside``.

``python -m benchmarks.watched_node FILE`` runs the node of ``paceline_server`` and appends a line
of JSON to FILE for each of three things, ``at``: when it ended, on the monotonic clock that all
processes share, in seconds.

* ``turn``: processor time of the loop's thread, ``ms``, between two looks at it a millisecond
  apart, if it is more than ``TURN_MS``: a callback, or a few in a row. Waiting does not count, nor
  does what other threads and other processes did meanwhile.
* ``stall``: a thread that sleeps for a millisecond was woken so many ``ms`` late, and one other
  thread was at work for most of it: ``cpu_ms``, ``thread``, and where it stood (``stack``,
  innermost first). That is a call into C that held the interpreter, or the turns of several.
* ``gc``: a collection of ``generation`` took ``ms`` of its thread's processor time.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from types import FrameType
from typing import Any

import uvloop

LOOK_S = 0.001
TURN_MS = 4.0
STALL_MS = 20.0
COLLECTION_MS = 4.0
DEPTH = 9


class Notes:
    def __init__(self, path: str) -> None:
        self._file = open(path, "a", buffering=1)  # noqa: SIM115 - as long as the program

    def add(self, kind: str, ms: float, **more: Any) -> None:
        line = {"kind": kind, "at": time.monotonic(), "ms": round(ms, 1), **more}
        self._file.write(json.dumps(line) + "\n")


def where(frame: FrameType | None) -> list[str]:
    told: list[str] = []
    while frame is not None and len(told) < DEPTH:
        code = frame.f_code
        told.append(f"{'/'.join(code.co_filename.split('/')[-2:])}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return told


def watch_stalls(notes: Notes) -> None:
    """Never returns."""
    clocks: dict[int, int] = {}
    own = threading.get_ident()
    used: dict[int, float] = {}
    while True:
        before = time.monotonic()
        time.sleep(LOOK_S)
        late_ms = 1000 * (time.monotonic() - before - LOOK_S)
        frames = sys._current_frames()
        delta: dict[int, float] = {}
        for ident in frames:
            if ident == own:
                continue
            try:
                if ident not in clocks:
                    clocks[ident] = time.pthread_getcpuclockid(ident)
                now = 1000 * time.clock_gettime(clocks[ident])
            except OSError:
                continue  # it has ended
            delta[ident] = now - used.get(ident, now)
            used[ident] = now
        if late_ms < STALL_MS or not delta:
            continue
        busiest = max(delta, key=delta.__getitem__)
        if delta[busiest] > late_ms / 4:
            names = {one.ident: one.name for one in threading.enumerate()}
            notes.add(
                "stall",
                late_ms,
                cpu_ms=round(delta[busiest], 1),
                thread=names.get(busiest, ""),
                stack=where(frames[busiest]),
            )


def watch_turns(notes: Notes, loop: Any) -> None:
    last = time.thread_time()

    def look() -> None:
        nonlocal last
        now = time.thread_time()
        ms = 1000 * (now - last)
        if ms > TURN_MS:
            notes.add("turn", ms)
        last = time.thread_time()
        loop.call_later(LOOK_S, look)

    def first() -> None:
        nonlocal last
        last = time.thread_time()
        look()

    loop.call_soon(first)


def watch_collections(notes: Notes) -> None:
    began = 0.0

    def told(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
            return
        ms = 1000 * (time.thread_time() - began)
        if ms > COLLECTION_MS:
            thread = threading.current_thread().name
            notes.add("gc", ms, generation=info["generation"], thread=thread)

    gc.callbacks.append(told)


def main(path: str) -> None:
    notes = Notes(path)
    make = uvloop.new_event_loop

    def watched() -> uvloop.Loop:
        loop = make()
        watch_turns(notes, loop)
        return loop

    uvloop.new_event_loop = watched
    watch_collections(notes)
    threading.Thread(target=watch_stalls, args=(notes,), daemon=True).start()
    sys.argv[1:] = ["node"]

    from paceline_server.__main__ import main as run  # noqa: PLC0415 - it reads what is set above

    run()


if __name__ == "__main__":
    main(sys.argv[1])

"""``paceline warm``: fill every node's cache from a list of keys, a query or a scan."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from paceline import clock
from paceline.client.signing import signer_of
from paceline.errors import ConfigError, PacelineError
from paceline.types import KeySchema, Params
from paceline_local.cli.errors import print_error
from paceline_local.cli.operate import find_cluster
from paceline_local.cli.output import console
from paceline_local.probes import split_address
from paceline_local.warm import state
from paceline_local.warm.keys import typed, values_of
from paceline_local.warm.node import NodeClient
from paceline_local.warm.sources import STDIN, FileSource, PageSource, Source
from paceline_local.warm.state import SourcePosition
from paceline_local.warm.warming import Warmer

SAVE_S = 1.0
"""The interval at which the position is saved. What was read since is read again, from the
caches."""
SHOW_S = 0.2
PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class WarmOptions:
    table: str
    keys_file: str | None = None
    query: str | None = None
    scan: bool = False
    index: str | None = None
    names: str | None = None
    values: str | None = None
    limit: int | None = None
    rate: str | None = None
    resume: Path | None = None
    nodes: Sequence[str] = ()
    base_port: int = 8000
    admin: str | None = None


def run(options: WarmOptions) -> int:
    """0 if every key was read by every node; 1 if some were not, or it was interrupted."""
    _check(options)
    per_s = None if options.rate is None else _rate(options.rate)
    addresses = _addresses(options)
    return asyncio.run(_warm(options, per_s, addresses))


class _Journal:
    """Keeps the position in memory and, if asked for, in a file. ``run`` identifies the run."""

    def __init__(self, path: Path | None, run: dict[str, Any]) -> None:
        self._path = path
        self._run = run
        self._saved_at = clock.now()
        loaded = None if path is None else state.load(path, run)
        self.position = loaded or SourcePosition()

    def reached(self, position: SourcePosition) -> None:
        self.position = position
        if clock.now() - self._saved_at >= SAVE_S:
            self.save()

    def save(self) -> None:
        self._saved_at = clock.now()
        if self._path is not None:
            state.save(self._path, self._run, self.position)

    def finish(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


async def _warm(
    options: WarmOptions, per_s: float | None, addresses: dict[str, tuple[str, int]]
) -> int:
    journal = _Journal(options.resume, _identity(options))
    resumed_at = journal.position.records
    stop = _stop_by_signals()
    began = clock.now()
    async with AsyncExitStack() as stack:
        signer = signer_of(os.environ)
        nodes = [NodeClient(name, *address, signer) for name, address in addresses.items()]
        for node in nodes:
            stack.push_async_callback(node.close)
        schema = await _schema(nodes, options.table)
        warmer = Warmer(
            options.table,
            schema,
            nodes,
            clock.now,
            per_s=per_s,
            checkpoint=journal.reached,
        )
        source = _source(options, schema, warmer)
        size = warmer.batch_size(len(nodes), per_s)
        with _Bar(options.table, source.total(), resumed_at, warmer) as bar:
            shown = asyncio.create_task(bar.keep_showing())
            try:
                complete = await warmer.run(source.chunks(size, journal.position), stop)
            except BaseException:
                journal.save()
                raise
            finally:
                shown.cancel()
                await asyncio.gather(shown, return_exceptions=True)
    counts = warmer.counts
    console().print(
        f"{options.table}: {counts.records:,} keys, {counts.reads:,} reads by {len(nodes)} "
        f"node{'s' if len(nodes) > 1 else ''}, {counts.found:,} items found, "
        f"{counts.errors:,} errors, {clock.now() - began:.1f} s"
    )
    for problem, count in counts.problems.most_common(PROBLEMS_SHOWN):
        print_error(problem if count == 1 else f"{problem} ({count:,} times)")
    if not complete:
        journal.save()
        done = f"stopped after {journal.position.records:,} keys"
        how = (
            "give --resume FILE to be able to go on"
            if options.resume is None
            else "the same command goes on from there"
        )
        print_error(f"{done}; {how}")
        return 1
    journal.finish()
    return 1 if counts.errors else 0


class _Bar:
    """A progress bar on stderr, if that is a terminal."""

    def __init__(self, table: str, total: int | None, done: int, warmer: Warmer) -> None:
        self._warmer = warmer
        self._begun_at = done
        screen = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn(f"warming {table}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[errors]} errors"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=screen,
            auto_refresh=False,
            disable=not screen.is_terminal,
        )
        self._task: TaskID = self._progress.add_task("", total=total, completed=done, errors=0)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._show()
        self._progress.stop()

    async def keep_showing(self) -> None:
        while True:
            self._show()
            await asyncio.sleep(SHOW_S)

    def _show(self) -> None:
        counts = self._warmer.counts
        self._progress.update(
            self._task, completed=self._begun_at + counts.records, errors=counts.errors
        )
        self._progress.refresh()


def _stop_by_signals() -> asyncio.Event:
    """Set by the first Ctrl-C; the second one cancels what is left."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    assert running is not None

    def on_signal() -> None:
        if stop.is_set():
            running.cancel()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


async def _schema(nodes: Sequence[NodeClient], table: str) -> KeySchema:
    """Returns the schema from the first node that knows it; raises the last one's error if none
    does."""
    for node in nodes[:-1]:
        try:
            return await node.schema(table)
        except PacelineError:
            continue
    return await nodes[-1].schema(table)


def _check(options: WarmOptions) -> None:
    chosen = [options.keys_file is not None, options.query is not None, options.scan]
    if sum(chosen) != 1:
        raise ConfigError(
            "say where the keys come from: one of --keys-file FILE, --query EXPRESSION, --scan"
        )
    paged = options.query is not None or options.scan
    if options.index is not None and not paged:
        raise ConfigError("--index goes with --query or --scan")
    if options.query is None and (options.names is not None or options.values is not None):
        raise ConfigError("--names and --values go with --query")
    if options.keys_file not in (None, STDIN) and not Path(str(options.keys_file)).is_file():
        raise ConfigError(f"{options.keys_file} is no file")


def _rate(text: str) -> float:
    try:
        per_s = float(text.strip().removesuffix("/s"))
    except ValueError:
        per_s = 0.0
    if not 0.0 < per_s < float("inf"):
        raise ConfigError(f"--rate {text!r} is no rate: write it as 500 or 500/s")
    return per_s


def _addresses(options: WarmOptions) -> dict[str, tuple[str, int]]:
    """DAX address by id, of all nodes that answer or of those that were named."""
    entry = find_cluster(options.base_port, options.admin)
    known = {node["id"]: node for node in entry["nodes"]}
    wanted = [one for text in options.nodes for one in text.split(",")] or list(known)
    found = {}
    for node_id in wanted:
        node = known.get(node_id)
        if node is None:
            raise ConfigError(f"there is no node {node_id!r}: the cluster has {', '.join(known)}")
        if not node.get("alive", True) or node["dax"] is None:
            if options.nodes:
                raise ConfigError(f"{node_id} does not answer: start it, then warm it")
            print_error(f"{node_id} does not answer and is left out; warm it with --node {node_id}")
            continue
        found[node_id] = split_address(node["dax"])
    return found


def _source(options: WarmOptions, schema: KeySchema, warmer: Warmer) -> Source:
    if options.keys_file is not None:
        return FileSource(options.keys_file, schema, options.limit)
    params: Params = {"TableName": options.table}
    if options.index is not None:
        params["IndexName"] = options.index
    if options.query is None:
        return PageSource(warmer.read, "Scan", params, schema, options.limit)
    params["KeyConditionExpression"] = options.query
    if options.names is not None:
        params["ExpressionAttributeNames"] = values_of(options.names, "--names")
    if options.values is not None:
        values = values_of(options.values, "--values")
        params["ExpressionAttributeValues"] = {
            name: typed(value, "--values") for name, value in values.items()
        }
    return PageSource(warmer.read, "Query", params, schema, options.limit)


def _identity(options: WarmOptions) -> dict[str, Any]:
    """What has to be the same for a run to go on where another one stopped."""
    file = options.keys_file
    return {
        "table": options.table,
        "keys_file": str(Path(file).resolve()) if file not in (None, STDIN) else file,
        "query": [options.query, options.names, options.values],
        "scan": options.scan,
        "index": options.index,
        "nodes": list(options.nodes),
    }

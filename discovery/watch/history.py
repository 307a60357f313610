"""The file that the nodes' values are kept in: a SQLite data base, or memory.

Single values for ``FINE_KEPT_S``, then one a node, a metric and ``COARSE_S``, for
``COARSE_KEPT_S``. All of it is used from one thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from discovery.watch.aggregation import COARSE_S, Value, rolled_up
from discovery.watch.catalogue import METRICS, Kind
from discovery.watch.tables import MARK, metric_of
from paceline.errors import ConfigError

FINE_KEPT_S: Final = 3 * 3_600
COARSE_KEPT_S: Final = 14 * 86_400
FORM: Final = 1
"""Of the tables below; a file of another form is refused."""
NODES_MAX: Final = 128
"""Twice as many as all clusters may have, since they come and go."""
BUSY_S: Final = 2.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS node (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS metric (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS fine (
    metric INTEGER NOT NULL, node INTEGER NOT NULL, at INTEGER NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (metric, node, at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS coarse (
    metric INTEGER NOT NULL, node INTEGER NOT NULL, at INTEGER NOT NULL, count REAL NOT NULL,
    total REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
    PRIMARY KEY (metric, node, at)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
    kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)
    ) WITHOUT ROWID;
"""

KINDS: Final[Mapping[str, Kind]] = {one.name: one.kind for one in METRICS}


class History:
    """``path``: None keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        """ConfigError for a file that cannot be used."""
        self._path = path
        try:
            self.db = sqlite3.connect(
                ":memory:" if path is None else path, timeout=BUSY_S, check_same_thread=False
            )
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = NORMAL")
            (form,) = self.db.execute("PRAGMA user_version").fetchone()
            if form not in (0, FORM):
                raise ConfigError(f"{path} has form {form}; this release reads form {FORM}")
            self.db.executescript(_TABLES)
            self.db.execute(f"PRAGMA user_version = {FORM}")
        except sqlite3.Error as error:
            raise ConfigError(f"cannot keep metrics in {path}: {error}") from error

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.db.close()

    def add(self, at: int, by_node: Mapping[str, Mapping[str, float]]) -> None:
        """What each node gave at ``at``, by metric; then what is old becomes coarse, or goes."""
        with self.db:
            for node, values in by_node.items():
                node_id = self._id("node", node)
                self.db.executemany(
                    "INSERT OR REPLACE INTO fine VALUES (?, ?, ?, ?)",
                    [(self._id("metric", name), node_id, at, one) for name, one in values.items()],
                )
            self._roll_up(at)

    def nodes(self) -> list[str]:
        """All that anything is kept of."""
        return [name for (name,) in self.db.execute("SELECT name FROM node ORDER BY name")]

    def names_by_node(self) -> list[tuple[str, str]]:
        """Of metrics of tables: the name under which it is kept, and a node that gave it."""
        return list(self.db.execute(_NAMES, (MARK,)))

    def read(
        self,
        metric: str,
        start: float,
        end: float,
        node: str | None = None,
        cluster: str | None = None,
    ) -> dict[str, Sequence[Value]]:
        """By node; of one alone if it is named, or of those that are named CLUSTER/NODE, or without
        a cluster if that is "". In order of time."""
        found: dict[str, list[Value]] = {}
        asked = (metric, start, end, node, node, cluster, cluster)
        coarse_until = self._coarse_until()
        for name, *numbers in self.db.execute(_READ_COARSE, asked):
            found.setdefault(name, []).append(Value(*numbers))
        for name, at, value in self.db.execute(_READ_FINE, asked):
            if at >= coarse_until:
                found.setdefault(name, []).append(Value.single(at, value))
        return {name: tuple(values) for name, values in found.items()}

    # -- records: what is not a value ---------------------------------------------------------

    def records(self, kind: str) -> dict[str, str]:
        return dict(self.db.execute("SELECT name, body FROM record WHERE kind = ?", (kind,)))

    def put_record(self, kind: str, name: str, body: str) -> None:
        with self.db:
            self.db.execute("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", (kind, name, body))

    def append_record(self, kind: str, body: str, most: int) -> None:
        """Under a name that comes after all of its kind; the oldest beyond ``most`` go."""
        with self.db:
            (last,) = self.db.execute(
                "SELECT max(name) FROM record WHERE kind = ?", (kind,)
            ).fetchone()
            name = f"{int(last or 0) + 1:016}"
            self.db.execute("INSERT INTO record VALUES (?, ?, ?)", (kind, name, body))
            self.db.execute(
                "DELETE FROM record WHERE kind = ? AND name <= ?", (kind, f"{int(name) - most:016}")
            )

    def delete_record(self, kind: str, name: str) -> None:
        with self.db:
            self.db.execute("DELETE FROM record WHERE kind = ? AND name = ?", (kind, name))

    # -- inside -------------------------------------------------------------------------------

    def _id(self, table: str, name: str) -> int:
        found = self.db.execute(f"SELECT id FROM {table} WHERE name = ?", (name,)).fetchone()
        if found is None:
            done = self.db.execute(f"INSERT INTO {table} (name) VALUES (?)", (name,))
            return int(done.lastrowid or 0)
        return int(found[0])

    def _coarse_until(self) -> int:
        """Before this time there are no single values, or they are in a coarse one."""
        found = self.db.execute("SELECT until FROM kept WHERE name = 'coarse'").fetchone()
        return 0 if found is None else int(found[0])

    def _roll_up(self, now: int) -> None:
        """What has become older than the single values are kept for. Coarse ones are made late, so
        that no value comes after its coarse one."""
        until = (now - FINE_KEPT_S) // COARSE_S * COARSE_S
        before = self._coarse_until()
        if until <= before:
            return
        spans: dict[tuple[int, int, int], list[Value]] = {}
        kinds: dict[int, Kind] = {}
        for metric, name, node, at, value in self.db.execute(_OLD, (until,)):
            kinds[metric] = KINDS.get(metric_of(name), "level")
            span = metric, node, at - at % COARSE_S
            spans.setdefault(span, []).append(Value.single(at, value))
        for (metric, node, at), values in spans.items():
            one = rolled_up(kinds[metric], values)
            assert one is not None
            self.db.execute(
                "INSERT OR REPLACE INTO coarse VALUES (?, ?, ?, ?, ?, ?, ?)",
                (metric, node, at, one.count, one.total, one.low, one.high),
            )
        self.db.execute("DELETE FROM fine WHERE at < ?", (until,))
        self.db.execute("DELETE FROM coarse WHERE at < ?", (now - COARSE_KEPT_S,))
        self.db.execute("INSERT OR REPLACE INTO kept VALUES ('coarse', ?)", (until,))
        self.db.execute(
            "DELETE FROM node WHERE id NOT IN (SELECT node FROM fine UNION SELECT node FROM coarse)"
        )
        # Those of tables that nobody asks for any more.
        self.db.execute(
            "DELETE FROM metric WHERE NOT EXISTS (SELECT 1 FROM fine WHERE metric = metric.id)"
            " AND NOT EXISTS (SELECT 1 FROM coarse WHERE metric = metric.id)"
        )


def nodes_within(by_node: Mapping[str, Mapping[str, float]], known: Iterable[str]) -> set[str]:
    """Whose values are taken in: no more than ``NODES_MAX`` names are kept at once."""
    kept = set(known)
    for name in sorted(by_node):
        if len(kept) >= NODES_MAX:
            break
        kept.add(name)
    return kept & set(by_node)


_READ = """
FROM {table} AS of JOIN metric ON metric.id = of.metric JOIN node ON node.id = of.node
WHERE metric.name = ? AND at >= ? AND at < ? AND (? IS NULL OR node.name = ?)
AND (? IS NULL OR substr(node.name, 1, max(0, instr(node.name, '/') - 1)) = ?) ORDER BY at
"""
_READ_FINE: Final = "SELECT node.name, at, value " + _READ.format(table="fine")
_READ_COARSE: Final = "SELECT node.name, at, count, total, low, high " + _READ.format(
    table="coarse"
)
_NAMES: Final = """
SELECT metric.name, node.name FROM metric, node WHERE instr(metric.name, ?) > 0 AND (
    EXISTS (SELECT 1 FROM fine WHERE metric = metric.id AND node = node.id) OR
    EXISTS (SELECT 1 FROM coarse WHERE metric = metric.id AND node = node.id))
ORDER BY metric.name, node.name
"""
_OLD: Final = """
SELECT fine.metric, metric.name, node, at, value
FROM fine JOIN metric ON metric.id = fine.metric WHERE at < ?
"""

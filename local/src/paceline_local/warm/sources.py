"""Reads keys from a file, or by a Query or Scan of the table through one of its nodes."""

from __future__ import annotations

import gzip
import io
import itertools
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from paceline.errors import ConfigError
from paceline.types import Item, KeySchema, Params, Result
from paceline_local.warm.keys import BadKey, format_of, read_keys
from paceline_local.warm.state import SourcePosition

PAGE = 1000
"""The records that one page of a Query or Scan looks at."""
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some keys. ``position``: behind them. ``bad``: records that are no keys, with the reasons."""

    keys: tuple[Item, ...]
    bad: tuple[str, ...]
    position: SourcePosition


class Source(Protocol):
    def chunks(self, size: int, position: SourcePosition) -> AsyncGenerator[Chunk]:
        """From ``position`` to the end, each of at most ``size`` records."""

    def total(self) -> int | None:
        """The number of records, if that can be told beforehand."""


class Reader(Protocol):
    """``NodeClient.call``, on another node where one does not answer."""

    async def __call__(self, operation: str, params: Params) -> Result: ...


class FileSource:
    def __init__(self, name: str, schema: KeySchema, limit: int | None = None) -> None:
        self._name = name
        self._schema = schema
        self._limit = limit

    def total(self) -> int | None:
        if self._name == STDIN:
            return self._limit
        with _opened(self._name) as file:
            count = sum(1 for line in file if line.strip())
        if format_of(self._name) == "csv":
            count = max(count - 1, 0)
        return count if self._limit is None else min(count, self._limit)

    async def chunks(self, size: int, position: SourcePosition) -> AsyncGenerator[Chunk]:
        with _opened(self._name) as file:
            records = read_keys(file, self._schema, format_of(self._name))
            at = position.records
            wanted = itertools.islice(records, at, self._limit)
            while batch := list(itertools.islice(wanted, size)):
                at += len(batch)
                yield _chunk(batch, SourcePosition(at))


class PageSource:
    """``params``: of the Query or Scan, without projection and paging."""

    def __init__(
        self,
        read: Reader,
        operation: str,
        params: Params,
        schema: KeySchema,
        limit: int | None = None,
    ) -> None:
        self._read = read
        self._operation = operation
        self._params = params
        self._schema = schema
        self._limit = limit

    def total(self) -> int | None:
        return self._limit

    async def chunks(self, size: int, position: SourcePosition) -> AsyncGenerator[Chunk]:
        at, start, skip = position.records, position.start, position.skip
        while self._limit is None or at < self._limit:
            page, last = await self._page(start)
            for begin in range(skip, len(page), size):
                keys = page[begin : begin + size]
                if self._limit is not None:
                    keys = keys[: self._limit - at]
                if not keys:
                    return
                at += len(keys)
                yield Chunk(tuple(keys), (), SourcePosition(at, start, begin + len(keys)))
            if last is None:
                return
            start, skip = last, 0

    async def _page(self, start: Item | None) -> tuple[list[Item], Item | None]:
        names = {f"#paceline_{i}": name for i, name in enumerate(self._schema.names)}
        params: Params = {
            **self._params,
            "ProjectionExpression": ", ".join(names),
            "ExpressionAttributeNames": {
                **self._params.get("ExpressionAttributeNames", {}),
                **names,
            },
            "Limit": PAGE,
        }
        if start is not None:
            params["ExclusiveStartKey"] = start
        result = await self._read(self._operation, params)
        return [self._schema.key_of(item) for item in result["Items"]], result.get(
            "LastEvaluatedKey"
        )


def _chunk(records: list[Item | BadKey], position: SourcePosition) -> Chunk:
    return Chunk(
        tuple(one for one in records if not isinstance(one, BadKey)),
        tuple(one.reason for one in records if isinstance(one, BadKey)),
        position,
    )


@contextmanager
def _opened(name: str) -> Iterator[IO[str]]:
    if name == STDIN:
        yield sys.stdin
        return
    path = Path(name)
    try:
        with path.open("rb") as raw:
            content: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw  # type: ignore[assignment]
            with io.TextIOWrapper(content, encoding="utf-8", newline="") as text:
                yield text
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise ConfigError(f"{name} cannot be read as text in UTF-8: {error}") from error
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from error

"""Public traces: where they come from, and how they are written.

They are those that the simulators of Caffeine (Apache 2.0) and libCacheSim (GPL 3) bring, at fixed
commits. None is part of this project: ``fetch`` brings them into a folder.
"""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.request import urlopen

from benchmarks.traces.made import Requests

CAFFEINE = (
    "https://raw.githubusercontent.com/ben-manes/caffeine/ccef95542a9181182a60f5c6c33d2a0642c73574"
    "/simulator/src/main/resources/com/github/benmanes/caffeine/cache/simulator/parser/"
)
LIBCACHESIM = (
    "https://raw.githubusercontent.com/1a1a11a/libCacheSim/aa0fc40914b2b786f4b9f4dafb099f8f332b216a"
    "/data/"
)
FETCH_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Trace:
    name: str
    of: str
    url: str
    digest: str
    """SHA-256 of the file, in hex."""
    form: Literal["int32", "int64", "lines", "csv"]

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


TRACES = (
    Trace(
        "cache2k web07",
        "page views of a web shop",
        CAFFEINE + "cache2k/web07.trace.xz",
        "e50bb13aa66d1cc71877c8ea92c577be0d0ab5b2b4f7a16c87046af1097bd46a",
        "int32",
    ),
    Trace(
        "cache2k web12",
        "product views of a web shop in December",
        CAFFEINE + "cache2k/web12.trace.xz",
        "a76c78e129a982fe17055d0a291ebf385e7a0aa7964bd091d006bcde862bcdad",
        "int32",
    ),
    Trace(
        "cache2k orm-busy",
        "entities of an ORM at a busy hour",
        CAFFEINE + "cache2k/orm-busy.trace.xz",
        "0b1d6593387d713c98cc20a5b8c4128eaa983f94dcd70069b032dc1af9c2ceb3",
        "int32",
    ),
    Trace(
        "cache2k orm-night",
        "entities of an ORM at night, with batch jobs",
        CAFFEINE + "cache2k/orm-night.trace.xz",
        "144cc3050f79b202c70d4fb4b69023a485126adcd0ad2758fb4f5cc1ef0573b1",
        "int32",
    ),
    Trace(
        "corda vault",
        "states that a ledger's vault service reads",
        CAFFEINE + "corda/trace_vaultservice.gz",
        "bc2c118fe0a56b877fc21d35ad2a46b19d2f28b593553b8aa36a788cc169b21c",
        "int64",
    ),
    Trace(
        "scarab recs",
        "recommendations of a shop's product pages",
        CAFFEINE + "scarab/scarab-recs.trace.xz",
        "abf86a7eef62e1e5ed93afe318168bb72a575c6d552e9904426711039c05ede3",
        "int64",
    ),
    Trace(
        "cloudphysics w106",
        "blocks of a virtual machine",
        CAFFEINE + "cloud_physics/w106.trace.xz",
        "679615d555d3f0c26771b0afd859caeee54e236908cd60105d08b547abadba21",
        "int32",
    ),
    Trace(
        "cloudphysics sample",
        "blocks of another one",
        LIBCACHESIM + "cloudPhysicsIO.csv",
        "987ff2213050e47d24e8ba6e010d4b3127e51aafef6a76a8a6d43d13b9156fa1",
        "csv",
    ),
    Trace(
        "sprite",
        "blocks of a network file system",
        CAFFEINE + "lirs/sprite.trace.gz",
        "e2613162ee4d5134cf155ae090ccd1613a0a91f45e3a0bd636233b5bb42fc28d",
        "lines",
    ),
    Trace(
        "multi3",
        "several programs at once, a database among them",
        CAFFEINE + "lirs/multi3.trace.gz",
        "e1957bb3c49a1e3409fb651dd8fc4273eb144acdc5deb820e7671cb18583dfad",
        "lines",
    ),
    Trace(
        "2_pools",
        "two pools of pages, one as often asked for as the other",
        CAFFEINE + "lirs/2_pools.trace.gz",
        "12370af6d9e1b5a4d16642c6a5d0322565f20aed54bed8176901e74f70a4c3ee",
        "lines",
    ),
    Trace(
        "loop",
        "the same keys again and again",
        CAFFEINE + "lirs/loop.trace.gz",
        "465c1cc6bb08993034fd3597106cb0edc55b25a5984a17a12018f30a06ba60e9",
        "lines",
    ),
)


class CannotFetch(Exception):
    """A trace could not be brought; the message says which, and what helps."""


def fetch(trace: Trace, folder: Path) -> Path:
    """Returns the trace's file in ``folder``, downloaded if it is not there. Raises CannotFetch,
    also for a file that is not the one that was measured."""
    path = folder / trace.file
    if not path.exists():
        try:
            with urlopen(trace.url, timeout=FETCH_TIMEOUT_S) as answer:
                content = answer.read()
        except OSError as error:
            raise CannotFetch(
                f"{trace.file} could not be fetched ({error}); without network, put it into "
                f"{folder}: it is {trace.url}"
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if sha256(path.read_bytes()).hexdigest() != trace.digest:
        raise CannotFetch(f"{path} is not the file at {trace.url}; remove it")
    return path


def read(trace: Trace, path: Path, most: int) -> Requests:
    """Returns the first ``most`` requests, each of one unit of size."""
    with _opened(path) as file:
        return [(key, 1) for key in islice(_keys(trace, file), most)]


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.open(path)  # type: ignore[return-value]
    if path.suffix == ".xz":
        return lzma.open(path)  # type: ignore[return-value]
    return path.open("rb")


def _keys(trace: Trace, file: BinaryIO) -> Iterator[bytes]:
    if trace.form in ("int32", "int64"):
        size = struct.calcsize("i" if trace.form == "int32" else "q")
        while len(key := file.read(size)) == size:
            yield key
        return
    for number, line in enumerate(file):
        word = line.strip()
        if trace.form == "csv":
            if number:
                yield word.rpartition(b",")[2]
        elif word and word != b"*":
            yield word

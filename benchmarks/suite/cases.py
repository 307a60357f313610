"""What is measured: each case is a load on a server. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.load import frames
from benchmarks.load.kinds import Keys, Kind, Protocol

Target = Literal["nodes", "signed", "redis", "memcached", "dynamodb"]

REDIS = "redis GET"
HIT = "DAX hit"
"""The cases that all others are compared with: 1 KB, 64 connections, uniform keys."""

FILL = "fill"
"""The name of what is done before anything is measured."""

KB = 1000
FILL_CONNECTIONS = 4
CONNECTIONS = 64
MISSES_PER_S, WRITES_PER_S = 300.0, 200.0
PACED_PER_S = 1000.0
SLOW_PER_S = 50.0
PACED_CONNECTIONS = 16
TARGETS: dict[Protocol, Target] = {
    "dax": "nodes",
    "http": "nodes",
    "resp": "redis",
    "memcached": "memcached",
}
FRESH = Keys(count=10**9, choice="once")
"""Each key once. Whoever measures moves ``first``, so that no two rounds have a key in common."""


@dataclass(frozen=True, slots=True)
class Case:
    """``size``: bytes of a value. ``rate``: requests a second of an open loop; None: a closed one.
    ``redis``: the case whose CPU a request of this one is compared with. ``beside``: loads that run
    at the same time and whose requests are not counted; then CPU per request means nothing.
    ``alone``: the case whose latency is compared. ``to``: where, unless the protocol says."""

    name: str
    protocol: Protocol
    kinds: tuple[Kind, ...]
    size: int = KB
    connections: int = CONNECTIONS
    rate: float | None = None
    tls: bool = False
    redis: str | None = REDIS
    beside: tuple[Case, ...] = ()
    alone: str | None = None
    to: Target | None = None

    @property
    def target(self) -> Target:
        return self.to or TARGETS[self.protocol]

    @property
    def needs_hits(self) -> bool:
        """Whether something that it reads is to be there."""
        return any(_is_cached_read(kind) for kind in self.kinds)

    @property
    def disturbs(self) -> bool:
        """Whether it does more than reading what is there."""
        return bool(self.beside) or not all(_is_cached_read(kind) for kind in self.kinds)

    @property
    def reads_pages(self) -> bool:
        return any(kind.name == "query" for kind in self.kinds)

    @property
    def hello(self) -> bytes:
        if self.protocol != "dax":
            return b""
        return frames.preamble() + (frames.authorization() if self.to == "signed" else b"")

    def dated(self) -> Case:
        """With signatures of now, by HTTP to whom asks for them."""
        if self.protocol != "http" or self.to != "signed":
            return self
        return replace(self, kinds=tuple(frames.signed(kind) for kind in self.kinds))


def _is_cached_read(kind: Kind) -> bool:
    return kind.name != "write" and kind.keys.choice != "once"


# -- one case ----------------------------------------------------------------------------------


def _hit(protocol: Protocol, size: int) -> Kind:
    makers = {
        "dax": frames.dax_get,
        "http": frames.http_get,
        "resp": frames.resp_get,
        "memcached": frames.memcached_get,
    }
    return makers[protocol](size)


def _write(protocol: Protocol, operation: str, size: int) -> Kind:
    if protocol == "dax":
        return frames.dax_write(operation, size)
    return frames.http_write(operation, size)


def _miss(protocol: Protocol, size: int) -> Kind:
    maker = frames.dax_get if protocol == "dax" else frames.http_get
    return maker(size, "miss").of(FRESH)


def fill(protocol: Protocol, size: int, count: int) -> Case:
    """Makes ``count`` items hits, or puts them into redis-server or memcached; nodes by HTTP after
    they were filled by DAX."""
    keys = Keys(count=count, choice="once")
    if protocol == "resp":
        kind = frames.resp_set(size)
    elif protocol == "memcached":
        kind = frames.memcached_set(size)
    elif protocol == "dax":
        kind = frames.dax_batch_get(size)
    else:  # the first hit of a key makes the JSON that the others are answered with
        kind = frames.http_get(size)
    return Case(FILL, protocol, (kind.of(keys),), size, FILL_CONNECTIONS)


def fill_pages(keys: Keys) -> Iterator[Case]:
    """By each protocol, since pages are cached by the parameters as those spell them."""
    once = replace(_partitions(keys), choice="once")
    yield Case(FILL, "dax", (frames.dax_query(KB).of(once),), connections=FILL_CONNECTIONS)
    yield Case(FILL, "http", (frames.http_query(KB).of(once),), connections=FILL_CONNECTIONS)


def _partitions(keys: Keys) -> Keys:
    return replace(keys, count=max(keys.count // 20, 1))


def mix(protocol: Protocol, reads: int, keys: Keys, size: int = KB) -> tuple[Kind, ...]:
    """``reads`` of a hundred are reads; of a key just written they may be no hits."""
    read = frames.dax_get if protocol == "dax" else frames.http_get
    return (
        read(size, "read").of(keys, reads),
        _write(protocol, "PutItem", size).of(keys, 100 - reads),
    )


# -- groups ------------------------------------------------------------------------------------


def references(keys: Keys) -> Iterator[Case]:
    yield Case(REDIS, "resp", (_hit("resp", KB).of(keys),), redis=None)
    yield Case("redis SET", "resp", (frames.resp_set(KB).of(keys),))
    yield Case("memcached get", "memcached", (_hit("memcached", KB).of(keys),))
    yield Case("memcached set", "memcached", (frames.memcached_set(KB).of(keys),))


def hits(keys: Keys) -> Iterator[Case]:
    yield Case(HIT, "dax", (_hit("dax", KB).of(keys),))
    yield Case("HTTP hit", "http", (_hit("http", KB).of(keys),))


def connections_of(count: int) -> str:
    return f"{count} connection{'s' if count > 1 else ''}"


def _reference(protocol: Protocol, what: str) -> str:
    """redis-server's GET under the same conditions; its own is compared with the usual one."""
    return REDIS if protocol == "resp" else f"{REDIS}, {what}"


def varied_hits(keys: Keys) -> Iterator[Case]:
    """Other numbers of connections, sizes and distributions, redis-server's beside each."""
    protocols: tuple[tuple[Protocol, str], ...] = (
        ("resp", REDIS),
        ("dax", HIT),
        ("http", "HTTP hit"),
    )
    for connections in (1, 16, 1000):
        for protocol, name in protocols:
            yield Case(
                f"{name}, {connections_of(connections)}",
                protocol,
                (_hit(protocol, KB).of(keys),),
                connections=connections,
                redis=_reference(protocol, connections_of(connections)),
            )
    for size in (100, 10 * KB):
        for protocol, name in protocols:
            kind = _hit(protocol, size).of(keys)
            reference = _reference(protocol, f"{size} B")
            yield Case(f"{name}, {size} B", protocol, (kind,), size, redis=reference)
    zipf = replace(keys, choice="zipf")
    for protocol, name in protocols:
        kind = _hit(protocol, KB).of(zipf)
        yield Case(f"{name}, zipf", protocol, (kind,), redis=_reference(protocol, "zipf"))


def signed_hits(keys: Keys) -> Iterator[Case]:
    """What it takes to know who asks, and whether he may: each beside the same without. The
    generator cannot sign, so by HTTP it is one and the same request, signed once."""
    dax = Case(HIT, "dax", (_hit("dax", KB).of(keys),))
    kind = frames.http_get_first(KB).of(keys)
    http = Case("HTTP hit of one key", "http", (kind,))
    for case in (dax, http):
        yield case
        title = f"{case.name}, signed, policies"
        yield replace(case, name=title, to="signed", alone=case.name)


def with_tls(keys: Keys) -> Iterator[Case]:
    for case in [*hits(keys), next(references(keys))]:
        reference = _reference(case.protocol, "TLS")
        yield replace(case, name=f"{case.name}, TLS", tls=True, redis=reference)


def reads_and_writes(keys: Keys, protocols: Sequence[Protocol] = ("dax",)) -> Iterator[Case]:
    names = {"dax": "DAX", "http": "HTTP"}
    for protocol in protocols:
        name = names[protocol]
        yield Case(f"{name} miss", protocol, (_miss(protocol, KB),))
        for operation, word in (("PutItem", "put"), ("UpdateItem", "update")):
            kind = _write(protocol, operation, KB).of(keys)
            yield Case(f"{name} {word}", protocol, (kind,))


def mixes(keys: Keys, protocols: Sequence[Protocol] = ("dax",)) -> Iterator[Case]:
    names = {"dax": "DAX", "http": "HTTP"}
    for protocol in protocols:
        for reads in (95, 50):
            for choice in ("uniform", "zipf"):
                kinds = mix(protocol, reads, replace(keys, choice=choice))
                yield Case(f"{names[protocol]} {reads}/{100 - reads}, {choice}", protocol, kinds)


def pages_and_batches(keys: Keys) -> Iterator[Case]:
    """Queries and batches of what is cached, and batches of what is not."""
    for name, protocol, query, batch in (
        ("DAX", "dax", frames.dax_query, frames.dax_batch_get),
        ("HTTP", "http", frames.http_query, frames.http_batch_get),
    ):
        kind = query(KB).of(_partitions(keys))
        yield Case(f"{name} query of 10, cached", protocol, (kind,))  # type: ignore[arg-type]
        kind = batch(KB).of(keys)
        yield Case(f"{name} batch of 50 hits", protocol, (kind,))  # type: ignore[arg-type]
        kind = batch(KB).of(FRESH)
        yield Case(f"{name} batch of 50 misses", protocol, (kind,))  # type: ignore[arg-type]
    yield Case("redis MGET of 50", "resp", (frames.resp_mget(KB).of(keys),))


def beside(keys: Keys) -> Iterator[Case]:
    """The latency of hits at a fixed rate: alone, beside misses, and beside writes."""
    for protocol, name in (("dax", HIT), ("http", "HTTP hit")):
        alone = Case(
            f"{name}, {PACED_PER_S:.0f}/s alone",
            protocol,  # type: ignore[arg-type]
            (_hit(protocol, KB).of(keys),),  # type: ignore[arg-type]
            connections=PACED_CONNECTIONS,
            rate=PACED_PER_S,
            redis=None,
        )
        yield alone
        misses = Case(
            "misses",
            "dax",
            (_miss("dax", KB),),
            connections=PACED_CONNECTIONS,
            rate=MISSES_PER_S,
        )
        other = replace(keys, first=10 * keys.count)  # hits are not fenced by them
        writes = Case(
            "writes",
            "dax",
            (frames.dax_write("PutItem", KB).of(other),),
            connections=PACED_CONNECTIONS,
            rate=WRITES_PER_S,
        )
        for load in (misses, writes):
            title = f"{name}, {PACED_PER_S:.0f}/s beside {load.rate:.0f} {load.name}/s"
            yield replace(alone, name=title, beside=(load,), alone=alone.name)


def source() -> Iterator[Case]:
    """DynamoDB's stand-in itself, to see that it is no matter."""
    kind = frames.http_get(KB, "read").of(FRESH)
    yield Case("the fake DynamoDB itself, GetItem", "http", (kind,), to="dynamodb")


def paced(keys: Keys) -> Iterator[Case]:
    """Misses and writes at a rate that a node can take, beside the same asked of DynamoDB."""
    read, put = frames.http_get(KB, "read"), frames.http_write("PutItem", KB)
    kinds: tuple[tuple[str, Protocol, Kind, Target], ...] = (
        ("GetItem by DynamoDB itself", "http", read.of(FRESH), "dynamodb"),
        ("DAX miss", "dax", _miss("dax", KB), "nodes"),
        ("PutItem by DynamoDB itself", "http", put.of(keys), "dynamodb"),
        ("DAX put", "dax", _write("dax", "PutItem", KB).of(keys), "nodes"),
    )
    for name, protocol, kind, to in kinds:
        yield Case(
            f"{name}, {SLOW_PER_S:.0f}/s",
            protocol,
            (kind,),
            connections=PACED_CONNECTIONS,
            rate=SLOW_PER_S,
            redis=None,
            to=to,
        )

"""The fast path answers what the general path would, or leaves the request to it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Image, Position
from cluster.settings import CacheSettings
from node.cache.caches import Caches
from node.frontends.dax.handler import DaxHandler
from node.reads.cacheability import Cacheability
from node.reads.items import Counters
from paceline.dax.keys import encode_key, encode_spelled_key
from paceline.dax.request_types import GetItem
from paceline.dax.requests import encode_request
from paceline.dax.responses import MISS_REPLY, item_reply
from paceline.types import Item, KeyAttribute, KeySchema
from tests.unit.node.fakes import Clock

TAILS = ("bf0300ff", "bfff", "f6", "bf02f40300ff", "bf02f4ff")


class Front:
    def __init__(self, eviction: Any = "sieve") -> None:
        self.clock = Clock()
        self.caches = Caches.from_settings(CacheSettings(eviction=eviction))
        self.guard = Guard(self.caches, 10.0)
        self.guard.extend(self.clock.time + 1, self.clock.time)
        self.counters = Counters()
        self.schemas: dict[str, KeySchema] = {}
        tables = SimpleNamespace(
            peek=lambda name: (
                SimpleNamespace(schema=self.schemas[name]) if name in self.schemas else None
            )
        )
        reads = SimpleNamespace(counters=self.counters, cacheability=Cacheability())
        operations: Any = SimpleNamespace(
            lists=None, tables=tables, reads=reads, authorizer=None, as_callers=None
        )
        endpoints: Callable[..., bytes] = lambda peer: b""  # noqa: E731
        self.handler = DaxHandler(
            operations,
            self.caches.items,
            self.guard,
            endpoints,
            self.clock,
        )

    def keep(self, table: str, key: bytes, item: bytes | None) -> None:
        self.caches.install((table, key), Image(item), self.clock.time)


def request(table: str, key: bytes, tail: str = "bfff") -> bytes:
    whole = encode_request(GetItem(table, key))
    assert whole.endswith(b"\xbf\xff")
    return whole[:-2] + bytes.fromhex(tail)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("key", [b"k", b"k" * 23, b"k" * 24, b"k" * 255])
@pytest.mark.parametrize("table", ["t", "t" * 23, "t" * 24, "t" * 255])
def test_a_hit(table: str, key: bytes, tail: str) -> None:
    front = Front()
    front.keep(table, key, b"\x02item")
    assert front.handler.fast(request(table, key, tail)) == item_reply(b"\x02item")
    assert front.counters.hits == 1


def test_a_known_absence_is_a_hit_too() -> None:
    front = Front()
    front.keep("t", b"k", None)
    assert front.handler.fast(request("t", b"k")) == MISS_REPLY


def test_no_hit_without_a_lease_after_expiry_or_under_a_fence() -> None:
    front = Front()
    front.keep("t", b"k", b"\x02item")
    assert front.handler.fast(request("t", b"k")) is not None
    front.guard.fence(Position(1, 1), [("t", b"k")], front.clock.time)
    assert front.handler.fast(request("t", b"k")) is None

    front = Front()
    front.keep("t", b"k", b"\x02item")
    front.clock.time += 1.0
    assert front.handler.fast(request("t", b"k")) is None

    front = Front()
    front.keep("t", b"k", b"\x02item")
    front.clock.time += 400.0
    front.guard.extend(front.clock.time + 1, front.clock.time)
    assert front.handler.fast(request("t", b"k")) is None


@pytest.mark.parametrize("tail", ["bf02f5ff", "bf0301ff", "bf00498201818212637a7a7aff"])
def test_consistent_projected_and_metered_reads_are_not_plain(tail: str) -> None:
    front = Front()
    front.keep("t", b"k", b"\x02item")
    assert front.handler.fast(request("t", b"k", tail)) is None


def test_lru_learns_of_hits() -> None:
    front = Front("lru")
    front.keep("t", b"k", b"\x02item")
    assert front.handler.fast(request("t", b"k")) == item_reply(b"\x02item")


NUMBER_RANGE = KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "N"))
NUMBER_HASH = KeySchema(KeyAttribute("pk", "N"))
STRINGS = KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "S"))


@pytest.mark.parametrize("table", ["t", "t" * 24])
@pytest.mark.parametrize("number", ["10", "100", "1000", "-20", "12345600", "5", "0"])
def test_a_number_as_official_clients_spell_it_hits(table: str, number: str) -> None:
    front = Front()
    front.schemas[table] = NUMBER_RANGE
    key: Item = {"pk": {"S": "a"}, "sk": {"N": number}}
    front.keep(table, encode_key(NUMBER_RANGE, key), b"\x02item")
    sent = encode_spelled_key(NUMBER_RANGE, key)
    assert front.handler.fast(request(table, sent)) == item_reply(b"\x02item")
    other = encode_spelled_key(NUMBER_RANGE, {"pk": {"S": "a"}, "sk": {"N": f"{number}1"}})
    assert front.handler.fast(request(table, other)) is None
    assert front.handler.fast(request(table, sent[:-1])) is None, "not a number any more"
    assert front.counters.hits == 1


def test_a_hash_key_that_is_sent_as_a_double_hits() -> None:
    front = Front()
    front.schemas["t"] = NUMBER_HASH
    front.keep("t", encode_key(NUMBER_HASH, {"pk": {"N": "10"}}), b"\x02item")
    double = b"\xfb" + struct.pack(">d", 10.0)
    assert front.handler.fast(request("t", double)) == item_reply(b"\x02item")


@pytest.mark.parametrize("schema", [STRINGS, None])
def test_bytes_that_would_be_a_number_under_another_schema_do_not_hit(
    schema: KeySchema | None,
) -> None:
    front = Front()
    if schema is not None:
        front.schemas["t"] = schema
    key: Item = {"pk": {"S": "a"}, "sk": {"N": "10"}}
    front.keep("t", encode_key(NUMBER_RANGE, key), b"\x02item")
    assert front.handler.fast(request("t", encode_spelled_key(NUMBER_RANGE, key))) is None


@given(
    st.binary(max_size=60)
    | st.binary(max_size=60).map(lambda tail: bytes.fromhex("011a0fb0cc6a") + tail)
)
def test_arbitrary_bytes_are_left_to_the_parser(data: bytes) -> None:
    front = Front()
    front.keep("t", b"k", b"\x02item")
    if data[:-1] != request("t", b"k")[:-1]:
        assert front.handler.fast(data) is None or data in {
            request("t", b"k", tail) for tail in TAILS
        }


@given(st.integers(0, 40), st.binary(min_size=1, max_size=3))
def test_truncated_or_continued_requests_are_left_to_the_parser(cut: int, more: bytes) -> None:
    front = Front()
    front.keep("t", b"k", b"\x02item")
    whole = request("t", b"k", "bf0300ff")
    assert front.handler.fast(whole[: min(cut, len(whole) - 1)]) is None
    assert front.handler.fast(whole + more) is None

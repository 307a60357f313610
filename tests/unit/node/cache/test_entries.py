"""Entries, lifetimes, parking, clearing: the behaviour that the settings and the protocol name."""

from __future__ import annotations

from math import inf

import pytest

import cluster.coherence.messages as coherence
from cluster.coherence.messages import Image
from cluster.coherence.queries import Dependency
from cluster.settings import CacheSettings, TableSettings
from node.cache.budget import ENTRY_SHARE_MAX, Budget
from node.cache.caches import Caches, ttls_of
from node.cache.entry import Entry, Ttl, Ttls, bytes_object_bytes
from node.cache.eviction import EvictionName, Lru, Sieve, policy_named
from node.cache.key_table import SHARD_MASK
from paceline.dax.responses import item_reply

KEY = ("Users", b"\x41a")
ITEM = b"\x02\x64name"


@pytest.fixture
def caches() -> Caches:
    return Caches.from_settings(configured())


def live(caches: Caches, table: str) -> list[tuple[bytes, int]]:
    """The keys of the live entries, and their nodes."""
    return list(caches.items._held[table.encode()].live.items())


def configured(*, tables: dict[str, TableSettings] | None = None, **millis: int) -> CacheSettings:
    return CacheSettings.model_validate({"tables": tables or {}, **millis})


def hit(caches: Caches, now: float, key: tuple[str, bytes] = KEY) -> bytes | None:
    entry = caches.items.lookup(*key, now)
    return None if entry is None else entry.reply


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, "40"),
        (1, "41"),
        (23, "57"),
        (24, "5818"),
        (255, "58ff"),
        (256, "590100"),
        (65535, "59ffff"),
        (65536, "5a00010000"),
    ],
)
def test_the_reply_of_a_hit_is_prebuilt_and_gives_the_item_back(length: int, head: str) -> None:
    item = b"\x01" * length
    reply = item_reply(item)
    assert reply == bytes.fromhex("80a100" + head) + item
    assert Entry(b"T", b"k", reply, None, inf).item == item


def test_a_negative_answer_is_an_entry_without_item(caches: Caches) -> None:
    caches.install(KEY, Image(None), now=0.0)
    entry = caches.items.lookup(*KEY, 1.0)
    assert entry is not None
    assert entry.reply == b"\x80\xf6"
    assert entry.item is None


def test_the_raw_frames_of_a_front_end_find_what_was_installed(caches: Caches) -> None:
    caches.install(("Straße", b"k"), Image(ITEM), now=0.0)
    shards, columns = caches.items.tables["Straße".encode()], caches.items.columns
    node = shards[hash(b"k") & SHARD_MASK][b"k"]
    assert columns.values[node] == item_reply(ITEM)
    assert columns.hits[node] == 0
    entry = caches.items.entry(node)
    assert (entry.table, entry.key, entry.item) == ("Straße".encode(), b"k", ITEM)


def test_a_peek_finds_what_a_hit_would_and_leaves_no_trace(caches: Caches) -> None:
    caches.install(KEY, Image(ITEM), now=0.0)
    entry = caches.items.peek(*KEY, 1.0)
    assert entry is not None
    assert entry.reply == item_reply(ITEM)
    assert not any(caches.items.columns.hits)
    assert caches.items.peek(*KEY, entry.expires_at) is None
    assert (caches.items.count, caches.items.expired) == (1, 0)
    caches.park(KEY)
    assert caches.items.peek(*KEY, 1.0) is None
    assert caches.items.peek("Nobody", KEY[1], 1.0) is None


def test_each_kind_of_answer_lives_as_long_as_its_setting_says() -> None:
    caches = Caches.from_settings(
        configured(record_ttl_millis=3000, negative_ttl_millis=2000, query_ttl_millis=1000)
    )
    absent = ("Users", b"absent")
    caches.install(KEY, Image(ITEM), now=10.0)
    caches.install(absent, Image(None), now=10.0)
    caches.queries.put(("Users", b"q"), "rows", 100, now=10.0)
    assert caches.queries.get(("Users", b"q"), 10.999) == "rows"
    assert caches.queries.get(("Users", b"q"), 11.0) is None
    assert hit(caches, 11.999, absent) is not None
    assert hit(caches, 12.0, absent) is None
    assert hit(caches, 12.999) is not None
    assert hit(caches, 13.0) is None
    assert (caches.items.count, caches.queries.count, caches.budget.bytes) == (0, 0, 0)
    assert (caches.items.expired, caches.queries.expired) == (2, 1)


def test_zero_means_no_limit_for_items_and_not_cached_for_the_others() -> None:
    caches = Caches.from_settings(
        configured(record_ttl_millis=0, negative_ttl_millis=0, query_ttl_millis=0)
    )
    caches.install(KEY, Image(ITEM), now=0.0)
    assert hit(caches, 1e12) is not None
    entry = caches.items.peek(*KEY)
    assert entry is not None
    assert entry.expires_at == inf
    assert caches.items.install("Users", b"absent", None, 0.0) is None
    assert not caches.queries.put(("Users", b"q"), "rows", 100, 0.0)
    assert (caches.items.count, caches.queries.count) == (1, 0)


def test_a_negative_answer_that_is_not_cached_still_replaces_the_item() -> None:
    caches = Caches.from_settings(configured(negative_ttl_millis=0))
    caches.install(KEY, Image(ITEM), now=0.0)
    caches.install(KEY, Image(None), now=0.0)
    assert hit(caches, 0.0) is None
    assert caches.budget.bytes == 0


def test_overrides_of_a_table_keep_the_general_value_where_they_name_none() -> None:
    settings = configured(
        record_ttl_millis=1000,
        negative_ttl_millis=2000,
        query_ttl_millis=3000,
        tables={"T": TableSettings(record_ttl_millis=0, query_ttl_millis=0)},
    )
    ttls = ttls_of(settings)
    assert ttls.of("T") == Ttl(record_s=inf, negative_s=2.0, query_s=0.0)
    assert ttls.of("other") == Ttl(record_s=1.0, negative_s=2.0, query_s=3.0)


def test_other_lifetimes_hold_from_then_on(caches: Caches) -> None:
    caches.install(KEY, Image(ITEM), now=0.0)
    caches.configure(Ttls(Ttl(record_s=1.0)))
    caches.install(("Users", b"later"), Image(ITEM), now=0.0)
    assert hit(caches, 2.0) is not None
    assert hit(caches, 2.0, ("Users", b"later")) is None


def test_a_parked_entry_cannot_be_hit_and_comes_back_whole(caches: Caches) -> None:
    protocol: coherence.Caches = caches
    protocol.install(KEY, Image(ITEM), 0.0)
    used = caches.budget.bytes
    protocol.park(KEY)
    assert hit(caches, 1.0) is None
    assert (caches.items.parked, caches.budget.bytes) == (1, used)
    protocol.park(KEY)
    protocol.restore(KEY)
    assert hit(caches, 1.0) == item_reply(ITEM)
    protocol.restore(KEY)
    assert (caches.items.count, caches.items.parked, caches.budget.bytes) == (1, 0, used)


@pytest.mark.parametrize("how", ["discard", "clear", "clear_table", "install", "refused"])
def test_a_parked_entry_that_was_dropped_does_not_come_back(caches: Caches, how: str) -> None:
    caches.install(KEY, Image(ITEM), now=0.0)
    caches.park(KEY)
    match how:
        case "discard":
            caches.discard(KEY)
        case "clear":
            caches.clear(None)
        case "clear_table":
            caches.clear("Users")
        case "install":
            caches.install(KEY, Image(b"new"), now=0.0)
        case _:
            caches.install(KEY, Image(bytes(caches.budget.bytes_max // 10)), now=0.0)
    caches.restore(KEY)
    assert caches.items.parked == 0
    assert hit(caches, 0.0) == (item_reply(b"new") if how == "install" else None)


def test_an_entry_that_expired_while_parked_is_not_hit(caches: Caches) -> None:
    for now in (0.0, 1000.0):
        caches.install(KEY, Image(ITEM), now)
        caches.park(KEY)
        caches.restore(KEY, *([now + 300.0] if now else []))
        assert caches.items.count == (0 if now else 1)
        assert hit(caches, now + 300.0) is None
    assert caches.budget.bytes == 0


def test_an_evicted_parked_entry_is_a_miss_after_restore() -> None:
    caches = Caches(Budget(10_000, Sieve), Ttls())
    caches.install(KEY, Image(ITEM), now=0.0)
    caches.park(KEY)
    for i in range(80):
        caches.install(("Users", b"%d" % i), Image(ITEM), now=0.0)
    assert caches.items.parked == 0
    caches.restore(KEY)
    assert hit(caches, 0.0) is None


def test_an_item_above_its_share_of_the_budget_is_not_cached() -> None:
    caches = Caches(Budget(100_000, Sieve), Ttls())
    share = 100_000 // ENTRY_SHARE_MAX
    assert caches.items.install("T", b"k", bytes(share - 400), 0.0) is not None
    assert caches.items.install("T", b"k", bytes(share), 0.0) is None
    assert caches.items.lookup("T", b"k", 0.0) is None, "the old value must not survive"
    assert not caches.queries.put(("T", b"q"), "rows", share, 0.0)
    assert (caches.budget.refused, caches.budget.bytes) == (2, 0)


def test_items_and_queries_share_the_budget() -> None:
    caches = Caches(Budget(50_000, Sieve), Ttls())
    for i in range(200):
        caches.items.install("T", b"%d" % i, ITEM, 0.0)
    full = caches.items.count
    for i in range(20):
        caches.queries.put(("T", b"%d" % i), "rows", 4_000, 0.0)
    assert caches.items.count < full
    assert caches.queries.evictions > 0
    assert caches.budget.bytes <= 50_000


def test_an_overwrite_keeps_the_place_in_the_order_of_eviction() -> None:
    caches = Caches(Budget(10_000, Sieve), Ttls())
    caches.install(KEY, Image(ITEM), now=0.0)
    for i in range(500):
        caches.install(("T", b"%d" % i), Image(ITEM), now=0.0)
        if i < 10:
            caches.install(KEY, Image(ITEM), now=0.0)
    assert hit(caches, 0.0) is None, "written often, never read: not worth keeping"


def test_an_overwrite_that_grows_makes_room_even_out_of_what_it_replaces() -> None:
    caches = Caches(Budget(10_000, Sieve), Ttls())
    for i in range(100):
        caches.items.install("T", b"%d" % i, ITEM, 0.0)
    keys = [key for key, _ in live(caches, "T")]
    assert len(keys) > 10
    for key in keys:  # the oldest first: the next victim itself
        entry = caches.items.install("T", key, bytes(600), 0.0)
        assert entry is not None
        assert caches.items.peek("T", key) == entry
        nodes = [node for _, node in live(caches, "T")]
        assert caches.budget.bytes == sum(caches.items.entry(node).size for node in nodes)
        assert caches.budget.bytes_used <= 10_000
        assert all(map(caches.items.columns.is_linked, nodes))


def test_another_form_of_an_entry_counts_and_goes_with_it(caches: Caches) -> None:
    entry = caches.items.install("Users", b"k", b"item", now=0.0)
    assert entry is not None
    alone = caches.budget.bytes
    caches.items.keep_form(entry, bytes(1000))
    assert caches.budget.bytes == caches.items.bytes == alone + bytes_object_bytes(1000)
    caches.park(("Users", b"k"))
    caches.restore(("Users", b"k"))
    again = caches.items.lookup("Users", b"k", now=1.0)
    assert again is not None
    assert again.reply is entry.reply
    assert again.form == bytes(1000)
    other = caches.items.install("Users", b"k", b"more", now=1.0)
    assert other is not None
    assert other.form is None
    assert caches.budget.bytes == alone


def test_no_form_is_kept_of_an_entry_that_its_own_room_evicts() -> None:
    caches = Caches(Budget(20_000, Lru), Ttls())
    first = caches.items.install("Users", b"0", bytes(40), now=0.0)
    assert first is not None
    while caches.budget.bytes_used + first.size + 600 <= 20_000:
        caches.items.install("Users", b"%d" % caches.items.count, bytes(40), now=0.0)
    assert caches.items.peek("Users", b"0") == first
    caches.items.keep_form(first, bytes(1000))
    assert caches.items.peek("Users", b"0") is None
    assert not any(caches.items.columns.forms)
    assert caches.budget.bytes == caches.items.bytes
    assert caches.budget.bytes_used <= 20_000


def test_no_form_is_kept_of_what_was_replaced_while_it_was_made(caches: Caches) -> None:
    first = caches.items.install("Users", b"k", b"item", now=0.0)
    assert first is not None
    caches.items.install("Users", b"k", b"more", now=0.0)
    caches.items.keep_form(first, b"of item")
    assert not any(caches.items.columns.forms)


def test_cleared_entries_can_be_evicted_before_they_are_freed() -> None:
    caches = Caches(Budget(2_500_000, Sieve), Ttls())
    for i in range(6_000):
        caches.items.install("T", b"%d" % i, ITEM, 0.0)
    caches.clear(None)
    left = caches.budget.bytes
    assert left > 0
    for i in range(20):
        caches.items.install("U", b"%d" % i, bytes(200_000), 0.0)
    assert caches.items.evictions > 0
    while caches.items.reclaim(1000):
        pass
    held = [caches.items.entry(node) for _, node in live(caches, "U")]
    assert caches.budget.bytes == sum(e.size for e in held) == caches.items.bytes


@pytest.mark.parametrize("policy", ["s3fifo", "sieve", "lru"])
def test_what_is_hit_outlives_what_is_not(policy: EvictionName) -> None:
    caches = Caches(Budget(20_000, policy_named(policy)), Ttls())
    caches.install(KEY, Image(ITEM), now=0.0)
    for i in range(500):
        assert hit(caches, 0.0) is not None
        caches.install(("T", b"%d" % i), Image(ITEM), now=0.0)


def test_queries_of_a_table_go_with_its_writes_or_with_everything(caches: Caches) -> None:
    for table in ("A", "B", "C"):
        caches.queries.put((table, b"q1"), 1, 10, 0.0, Dependency(table))
        caches.queries.put((table, b"q2"), 2, 10, 0.0, Dependency(table))
    caches.drop_queries("A", None)
    caches.clear("B")
    assert caches.queries.get(("A", b"q1"), 0.0) is None
    assert caches.queries.get(("B", b"q2"), 0.0) is None
    assert caches.queries.get(("C", b"q2"), 0.0) == 2
    assert (caches.queries.hits, caches.queries.misses) == (1, 2)
    caches.clear(None)
    assert (caches.queries.count, caches.queries.bytes) == (0, 0)


def test_a_result_that_no_write_matters_to_goes_with_its_table_only(caches: Caches) -> None:
    caches.queries.put(("A", b"q1"), 1, 10, 0.0)
    caches.queries.put(("A", b"q2"), 1, 10, 0.0, Dependency("A", detached=True))
    caches.drop_queries("A", None)
    assert caches.queries.count == 2
    caches.clear("A")
    assert (caches.queries.count, caches.budget.bytes) == (0, 0)


def test_clearing_a_table_leaves_the_others(caches: Caches) -> None:
    caches.install(KEY, Image(ITEM), now=0.0)
    caches.install(("Other", b"k"), Image(ITEM), now=0.0)
    caches.clear("Users")
    assert hit(caches, 0.0) is None
    assert hit(caches, 0.0, ("Other", b"k")) is not None


def test_clearing_many_entries_takes_effect_at_once_and_frees_by_and_by(caches: Caches) -> None:
    for i in range(10_000):
        caches.items.install("T", b"%d" % i, ITEM, 0.0)
    before = caches.budget.bytes
    caches.clear("T")
    assert caches.items.count == 0
    assert caches.items.lookup("T", b"5", 0.0) is None
    after = caches.budget.bytes
    assert 0 < after < before, "some freed, the rest still counted"
    caches.items.install("T", b"5", b"new", 0.0)
    assert caches.budget.bytes < after, "an install frees more than it takes"
    assert caches.items.reclaim(10)
    while caches.items.reclaim(1000):
        pass
    entry = caches.items.lookup("T", b"5", 0.0)
    assert entry is not None
    assert caches.budget.bytes == entry.size


@pytest.mark.parametrize("count", [5_000, 20_000])
def test_a_table_that_shrank_gives_its_dicts_back(count: int) -> None:
    caches = Caches(Budget(1 << 24, Sieve), Ttls())
    for i in range(count):
        caches.items.install("T", b"%d" % i, None, 0.0)
    table = caches.items._held[b"T"].live
    large = table.size
    for i in range(count - 1000):
        caches.items.discard("T", b"%d" % i)
    assert table.count == 1000
    assert table.size < large // 3
    for i in range(count - 1000, count):
        caches.items.discard("T", b"%d" % i)
    assert caches.items.tables == {}
    assert caches.budget.bytes_used == caches.budget.policy.bytes + caches.budget.entries.bytes
    assert caches.budget.entries.bytes < 300


def test_who_knows_more_of_a_table_is_told_when_it_is_cleared(caches: Caches) -> None:
    cleared: list[str | None] = []
    caches.on_clear = cleared.append
    caches.clear("t")
    caches.clear(None)
    assert cleared == ["t", None]

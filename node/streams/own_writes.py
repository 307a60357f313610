"""Recognising the echo of the cluster's own writes in a table's stream. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from cluster.coherence.effects import Effect
from cluster.coherence.messages import Image, Position
from paceline.types import Key

KEYS_MAX = 20_000
"""Items whose own writes are remembered until they come back: some seconds of writing, 10 MB.
What is forgotten only costs an eviction."""

WRITES_PER_KEY_MAX = 100

DIGEST_BYTES = 16

_DELETED = b""


@dataclass(frozen=True, slots=True)
class _Own:
    digest: bytes
    effect: Effect | None


class OwnWrites:
    """Per item, the own writes whose records may still come, oldest first.

    A record may be passed over only if every node is known to hold nothing older. An own write
    that settled as successful says so of everything up to its own commit; so it is enough that
    the record was committed no later than some own write that settled here. Equal images alone
    do not show that (a value can come back); together with the order they do:

    * A write is remembered only if its image is known and no other fence or unknown quarantine
      overlapped its fence. So the writes of an item are remembered in the order of their commits,
      and none of them was under way when another was.
    * The stream has one record for every commit that changed an item, in the order of the
      commits, and every record since the last flush of the table is looked at, in that order.
    * A record is passed over when its image is that of the *oldest* remembered write, which is
      then forgotten. Any other record makes everything remembered of its item be forgotten, when
      it is looked at and again when its own fence begins.

    Let record r match the remembered write w, and suppose it was committed after w. Both left
    the same image, and r changed something, so the item was changed in between; let c be the
    first such record. It was looked at before r, and it matched nothing: that would have been w,
    which left another image, or a write before w, and then c was committed before w, too, by
    induction. So if w was remembered by then, it was forgotten; and if w was under way, either
    c's fence overlapped w's, or it began later and made w be forgotten. r cannot have matched w.

    A write evicts the query results that its effect names. An earlier record with the same image
    may have changed others, so its effect must be a part of the write's.
    """

    def __init__(self) -> None:
        self._tables: set[str] = set()
        self._open: dict[Position, tuple[tuple[Key, ...], tuple[Effect | None, ...]]] = {}
        self._writes: OrderedDict[Key, deque[_Own]] = OrderedDict()

    # -- told by the reader -----------------------------------------------------------------

    def watch(self, table: str) -> None:
        """Every record of a write that begins from now on will be looked at, in order."""
        self._tables.add(table)

    def unwatch(self, table: str) -> None:
        """Records may be missed from now on, so every own write of the table is dropped."""
        if table in self._tables:
            self._tables.discard(table)
            for key in [key for key in self._writes if key[0] == table]:
                del self._writes[key]

    def is_echo(self, key: Key, item: bytes | None, effect: Effect | None) -> bool:
        """True if the record that left ``item`` (DAX form, None: deleted) need not be applied. Has
        to be asked once for each record, in the order of the stream."""
        writes = self._writes.get(key)
        if writes is None:
            return False
        if writes[0].digest == _digest(item) and _covers(writes[0].effect, effect):
            writes.popleft()
            if not writes:
                del self._writes[key]
            return True
        del self._writes[key]
        return False

    def expects(self, key: Key) -> bool:
        """True if ``is_echo`` could say yes. It spares working out what ``is_echo`` takes."""
        return key in self._writes

    def forget(self, keys: Iterable[Key]) -> None:
        """The fence of records of ``keys`` begins, in this same turn; or of some of them,
        ``is_echo`` could not be asked."""
        for key in keys:
            self._writes.pop(key, None)

    # -- told by the primary ----------------------------------------------------------------

    def fenced(
        self, fence: Position, keys: Sequence[Key], effects: Sequence[Effect | None]
    ) -> None:
        if self._tables and any(table in self._tables for table, _ in keys):
            self._open[fence] = (tuple(keys), tuple(effects))

    def settled(self, fence: Position, images: Sequence[Image | None]) -> None:
        """``images``: those that may be installed; empty when the write was no clear success."""
        keys, effects = self._open.pop(fence, ((), ()))
        for index, (key, image) in enumerate(zip(keys, images, strict=False)):
            if image is not None and key[0] in self._tables:
                own = _Own(_digest(image.item), effects[index] if index < len(effects) else None)
                self._remember(key, own)

    def epoch_over(self) -> None:
        self._open.clear()
        self._writes.clear()
        self._tables.clear()

    def _remember(self, key: Key, own: _Own) -> None:
        writes = self._writes.setdefault(key, deque())
        writes.append(own)
        self._writes.move_to_end(key)
        if len(writes) > WRITES_PER_KEY_MAX:
            writes.popleft()
        if len(self._writes) > KEYS_MAX:
            self._writes.popitem(last=False)


def _digest(item: bytes | None) -> bytes:
    return _DELETED if item is None else blake2b(item, digest_size=DIGEST_BYTES).digest()


def _covers(done: Effect | None, wanted: Effect | None) -> bool:
    """True if a write with effect ``done`` evicted all that ``wanted`` names."""
    if done is None or done.touches is None:
        return True
    if wanted is None or wanted.touches is None or wanted.schema != done.schema:
        return False
    return set(wanted.touches) <= set(done.touches)

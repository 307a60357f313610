"""Heads of requests that differ from a known one only in what matters to no answer: a signature,
dates, numbers of attempts. Pure.

A head is known once the parser has read it and the whole request was found to be a signed GetItem
on a connection that goes on. Another one that has the same bytes in all other places, and nothing
but visible characters in these, is read the same way: the parser never looks into those values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import itemgetter
from typing import Final, NamedTuple

from cluster.access.signatures.alike import Alike
from node.frontends.http.messages import JSON_10, HttpRequest, is_signed
from node.frontends.json_api.request import GET_ITEM

HEAD_BYTES_MAX: Final = 4096
"""Longer heads are left to the parser. A signed request has some 700 bytes, with a session's token
1 to 2 KB more."""
LENGTHS_MAX: Final = 64
ALIKE_MAX: Final = 4
"""Heads of so many lengths are known at a time, and so many of each length: some 1 MB at most."""

LEARN_EVERY: Final = 4
"""One request of so many is learned from: where each head has something of its own, that is in
vain, and it takes a third of what such a hit takes."""

END_OF_HEAD: Final = b"\r\n\r\n"
Prove = Callable[[HttpRequest, tuple[bytes, ...]], Alike | None]
"""A request, and the names of the headers that may differ, to what others have to show."""

_WHOLE = re.compile(rb"(?:[^\r\n]+\r\n)+\r\n")
_FREE = re.compile(
    rb"(?i)\r\n(?:"
    rb"authorization: ?AWS4-[ -~]*Signature=([0-9a-f]*)"
    rb"|(?:x-amz-date|amz-sdk-invocation-id|amz-sdk-request|x-amzn-trace-id): ?([ -~]*)"
    rb")(?=\r\n)"
)
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: ?([0-9]+)(?=\r\n)")
_VISIBLE = bytes(range(0x20, 0x7F))
_ONCE = re.compile(
    rb"(?i)\r\n(authorization|x-amz-date|amz-sdk-invocation-id|amz-sdk-request|x-amzn-trace-id"
    rb"|content-length):"
)
_OTHERWISE_READ = frozenset({b"transfer-encoding", b"expect", b"upgrade"})
"""The parser does not take the body of a request with one of them for so many bytes behind it."""


class _Head(NamedTuple):
    """``fixed_of`` gives the parts of a head that are to be as in ``fixed``, ``free_of`` the values
    between them, ``length_of`` that of Content-Length, which is one of these. ``names``: of the
    headers with these values, in lower case. ``proof``: as ``learn`` was given it."""

    fixed_of: Callable[[bytes], tuple[bytes, ...]]
    fixed: tuple[bytes, ...]
    free_of: Callable[[bytes], tuple[bytes, ...]]
    length_of: Callable[[bytes], bytes]
    names: tuple[bytes, ...]
    proof: Alike | None = None


Known = tuple[bytes, tuple[bytes, ...], Alike | None]
"""A body, the values in its head that may differ, and what those are to prove."""


class KnownHeads:
    """One per server."""

    def __init__(self) -> None:
        self._heads: dict[int, tuple[_Head, ...]] = {}
        """By their length in bytes."""
        self._offered = 0

    def found(self, data: bytes) -> Known | None:
        """None if ``data`` is not exactly one request with a known head."""
        size = data.rfind(END_OF_HEAD) + 4
        heads = self._heads.get(size)
        if heads is None:
            return None
        length = b"%d" % (len(data) - size)
        for head in heads:
            if head.length_of(data) == length and head.fixed_of(data) == head.fixed:
                free = head.free_of(data)
                odd = b"".join(free).translate(None, _VISIBLE)
                return None if odd else (data[size:], free, head.proof)
        return None

    def learn(self, data: bytes, request: HttpRequest, prove: Prove | None = None) -> None:
        """``request`` is what the parser has read of ``data``, from its first byte to the last, and
        it has been answered by a hit. ``prove``, if it is given: what others with this head have to
        show; without that, the head is not learned."""
        turn = self._offered % LEARN_EVERY
        self._offered += 1
        if turn:
            return
        size = len(data) - len(request.body)
        if not (request.body and size <= HEAD_BYTES_MAX and _is_usual(request)):
            return
        head = _head(data[:size])
        if head is None:
            return
        if prove is not None:
            proof = prove(request, head.names)
            if proof is None:
                return
            head = head._replace(proof=proof)
        alike = self._heads.get(size, ())
        if not alike and len(self._heads) >= LENGTHS_MAX:
            self._heads.clear()
        self._heads[size] = (head, *alike[: ALIKE_MAX - 1])


def _is_usual(request: HttpRequest) -> bool:
    return (
        request.method == "POST"
        and request.target == GET_ITEM
        and request.content_type == JSON_10
        and request.keep_alive
        and not (request.gzip or request.origin or request.encoding)
        and is_signed(request.path, request.headers)
        and _OTHERWISE_READ.isdisjoint(request.headers)
    )


def _head(data: bytes) -> _Head | None:
    """None if its lines do not end as they should, or if a value that may differ stands there twice
    or in a form of its own."""
    length = _LENGTH.search(data)
    names = [name.lower() for name in _ONCE.findall(data)]
    free = [found.span(found.lastindex or 0) for found in _FREE.finditer(data)]
    plain = len(set(names)) == len(names) == len(free) + 1
    if not free or length is None or not plain or not _WHOLE.fullmatch(data):
        return None
    gaps = sorted([*free, length.span(1)])
    starts, ends = [0, *(end for _, end in gaps)], [*(start for start, _ in gaps), len(data)]
    fixed_of = itemgetter(*map(slice, starts, ends))  # two of a kind at least: it gives tuples
    free_of = itemgetter(*(slice(*gap) for gap in gaps))
    # All of these headers have such a value, so their order is that of the values.
    of_length = itemgetter(slice(*length.span(1)))
    return _Head(fixed_of, fixed_of(data), free_of, of_length, tuple(names))

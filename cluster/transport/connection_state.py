"""How far a client's connection is on its way to its end, as a table. Pure.

The states follow TCP's own (RFC 9293, section 3.3.2), seen from the server: either side ends its
direction with FIN, and ours waits for the reply under way.
"""

from __future__ import annotations

from enum import Enum, auto


class State(Enum):
    OPEN = auto()
    """The server takes requests."""
    DRAINING = auto()
    """The server stops: the connection ends after the reply under way."""
    PEER_ENDED = auto()
    """The peer sent FIN: what came before it is answered, then the connection ends."""
    DRAINING_PEER_ENDED = auto()
    LINGERING = auto()
    """Our FIN is sent, or will be after what is written; what the peer sends is dropped."""
    CLOSING = auto()
    """Both directions have ended: the socket is closed as soon as everything is written."""
    CLOSED = auto()


class Event(Enum):
    DRAIN = auto()
    PEER_ENDS = auto()
    """The peer's FIN came."""
    END = auto()
    """This side ends its direction, after what is written."""
    END_BOTH = auto()
    """As ``END`` where one direction cannot be ended alone, as with TLS."""
    LOST = auto()
    """The transport is gone or given up."""


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.OPEN: {
        Event.DRAIN: State.DRAINING,
        Event.PEER_ENDS: State.PEER_ENDED,
        Event.END: State.LINGERING,
        Event.END_BOTH: State.CLOSING,
        Event.LOST: State.CLOSED,
    },
    State.DRAINING: {
        Event.DRAIN: State.DRAINING,
        Event.PEER_ENDS: State.DRAINING_PEER_ENDED,
        Event.END: State.LINGERING,
        Event.END_BOTH: State.CLOSING,
        Event.LOST: State.CLOSED,
    },
    State.PEER_ENDED: {
        Event.DRAIN: State.DRAINING_PEER_ENDED,
        Event.PEER_ENDS: State.PEER_ENDED,
        Event.END: State.CLOSING,
        Event.END_BOTH: State.CLOSING,
        Event.LOST: State.CLOSED,
    },
    State.DRAINING_PEER_ENDED: {
        Event.DRAIN: State.DRAINING_PEER_ENDED,
        Event.PEER_ENDS: State.DRAINING_PEER_ENDED,
        Event.END: State.CLOSING,
        Event.END_BOTH: State.CLOSING,
        Event.LOST: State.CLOSED,
    },
    State.LINGERING: {
        Event.DRAIN: State.LINGERING,
        Event.PEER_ENDS: State.CLOSING,
        Event.END: State.LINGERING,
        Event.END_BOTH: State.LINGERING,
        Event.LOST: State.CLOSED,
    },
    State.CLOSING: {
        **dict.fromkeys(Event, State.CLOSING),
        Event.LOST: State.CLOSED,
    },
    State.CLOSED: dict.fromkeys(Event, State.CLOSED),
}

ENDED = frozenset({State.LINGERING, State.CLOSING, State.CLOSED})
"""The states in which no request is taken and no reply is written any more."""
DRAINING = frozenset({State.DRAINING, State.DRAINING_PEER_ENDED})

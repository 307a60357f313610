"""The table of a connection's end, against the three facts that it stands for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.transport.connection_state import DRAINING, ENDED, TRANSITIONS, Event, State


def test_every_event_is_answered_in_every_state() -> None:
    assert set(TRANSITIONS) == set(State)
    for answers in TRANSITIONS.values():
        assert set(answers) == set(Event)


@given(st.lists(st.sampled_from(Event), max_size=8))
def test_states_are_what_has_happened(events: list[Event]) -> None:
    """Both sides' ends in whatever order; what comes after the end changes nothing."""
    state = State.OPEN
    drained = peer_ended = ended = lost = False
    for event in events:
        state = TRANSITIONS[state][event]
        if lost:
            continue
        lost = event is Event.LOST
        drained |= event is Event.DRAIN and not ended
        if event is Event.END_BOTH and not ended:
            peer_ended = True
        peer_ended |= event is Event.PEER_ENDS
        ended |= event in (Event.END, Event.END_BOTH)
    if lost:
        expected = State.CLOSED
    elif ended:
        expected = State.CLOSING if peer_ended else State.LINGERING
    elif drained:
        expected = State.DRAINING_PEER_ENDED if peer_ended else State.DRAINING
    else:
        expected = State.PEER_ENDED if peer_ended else State.OPEN
    assert state is expected
    assert (state in ENDED) is (ended or lost)
    assert (state in DRAINING) is (drained and not ended and not lost)


@given(st.sampled_from(sorted(ENDED, key=lambda state: state.name)), st.sampled_from(Event))
def test_an_end_is_final(state: State, event: Event) -> None:
    assert TRANSITIONS[state][event] in ENDED

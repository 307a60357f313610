"""How large effects are, which is what bounds the messages that carry them."""

from cluster.coherence.effects import EFFECT_BYTES, Effect, IndexTouch, effects_bytes


def test_each_effect_and_each_touch_has_a_part_of_its_own_besides_its_names_and_values() -> None:
    touches = (IndexTouch("index", b"p", b"sort"), IndexTouch("g"), IndexTouch("h", b"pp"))
    assert effects_bytes((Effect(7, touches),)) == 4 * EFFECT_BYTES + 5 + 1 + 4 + 1 + 1 + 2


def test_what_is_not_known_takes_no_more_than_that_part() -> None:
    assert effects_bytes((None, Effect(7, None), Effect(7, ()))) == 3 * EFFECT_BYTES
    assert effects_bytes(()) == 0

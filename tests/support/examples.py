"""How many random examples a property is tried with: fewer in the fast tier, fresh ones each time.

``--hypothesis-profile=all`` tries as many as a test names, as ``make test-rest`` does.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

ALL = 100
"""Of a test that names no number."""
FAST = 25
FAST_MIN = 15
"""Of a test that names a small number itself."""


def register_profiles() -> None:
    # How long the machine takes for an example is no property of what is tested.
    any_machine = settings(
        deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
    settings.register_profile("all", any_machine, max_examples=ALL)
    settings.register_profile("fast", any_machine, max_examples=FAST)


def examples(count: int) -> int:
    """``count`` in the full tier; the fast one's share of it."""
    return max(count * settings().max_examples // ALL, min(count, FAST_MIN))

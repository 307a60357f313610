"""A request to stop is seen, whatever the signal interrupts."""

import subprocess
import sys

# A signal at a random moment of a loop that does nothing but wait. A lock that both the waiting
# and the handler take is held at one moment in ten.
WAITING = """
import random, signal
from paceline_local.stop_request import StopRequest
rng = random.Random(1)
for number in range(300):
    stop = StopRequest()
    signal.signal(signal.SIGALRM, stop._on_signal)
    signal.setitimer(signal.ITIMER_REAL, 1e-5 + rng.random() * 1e-4)
    while not stop.wait(1e-6):
        pass
    assert stop.requested and not stop.urgent
    assert stop.wait(60.0)
    signal.raise_signal(signal.SIGALRM)
    assert stop.urgent
print("seen")
"""


def test_no_moment_is_a_bad_one_for_a_signal() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITING], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "seen\n", done.stderr

"""What imports need not do each time a program starts.

All of it is undone when the imports are over, but for the plugins that nobody has.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

_AUTHORITIES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""OpenSSL's own variables: where it finds whom to trust by default."""


@contextlib.contextmanager
def spared() -> Iterator[None]:
    """Imports in its body take a fifth less."""
    # What imports make stays: to look through it for garbage is a tenth of the time that a start
    # takes, and later a part of every full collection.
    gc.disable()
    # structlog imports it for terminals, where it is installed, and logs are JSON here: 65 modules
    # that a process would keep.
    sys.modules["rich"] = None  # type: ignore[assignment]
    # pydantic looks for plugins of its own in the descriptions of all installed distributions.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # aiohttp reads the machine's authorities twice while it is imported, tens of milliseconds each
    # time. Nothing here goes by them: who opens a connection with TLS has a context of its own, and
    # one that had none would trust nobody.
    before = {name: os.environ.get(name) for name in _AUTHORITIES}
    os.environ.update(_AUTHORITIES)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        gc.freeze()
        gc.enable()

"""AWS's descriptions of its services, which botocore has as files, read once in a process.

By itself each session reads them anew: a tenth of a second of the processor for one client.
"""

from __future__ import annotations

import functools

from aiobotocore.session import AioSession
from botocore.loaders import Loader, create_loader


def with_models(session: AioSession) -> AioSession:
    """The session, which shares them with all others of its search path. BotoCoreError if its
    configuration cannot be read."""
    loader = _loader(session.get_config_variable("data_path"))
    session.register_component("data_loader", loader)
    return session


@functools.cache
def _loader(data_path: str | None) -> Loader:
    loader: Loader = create_loader(data_path)
    return loader

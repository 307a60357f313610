"""The programs that profiles name as their ``credential_process``, ended with what asked for them.

botocore starts one and waits for what it writes. Who gives up waiting leaves it running, with all
that it has started; the next one who asks starts one more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any


class Processes:
    """Of one fetch."""

    def __init__(self) -> None:
        self._started: list[asyncio.subprocess.Process] = []

    async def start(self, *words: str, **options: Any) -> asyncio.subprocess.Process:
        """As ``create_subprocess_exec``, in a group of its own."""
        process = await asyncio.create_subprocess_exec(*words, start_new_session=True, **options)
        self._started.append(process)
        return process

    def start_for(self, session: Any) -> None:
        """All that ``session``, aiobotocore's, starts for credentials is started here: for its own
        profile, and for one that its role is taken on with."""
        for provider in session.get_component("credential_provider").providers:
            if hasattr(provider, "_popen"):
                provider._popen = self.start
            builder = getattr(provider, "_profile_provider_builder", None)
            if builder is not None:
                builder._create_process_provider = self._made_by(builder._create_process_provider)

    def _made_by(self, make: Any) -> Any:
        def made(profile_name: str) -> Any:
            provider = make(profile_name)
            provider._popen = self.start
            return provider

        return made

    @contextlib.contextmanager
    def ended_on_failure(self) -> Iterator[None]:
        """However the block fails, by a deadline too, nothing of a group outlives it: a program's
        own child may hold the pipe that was waited for when the program has gone. While one of a
        group is left, no other program gets the group's number."""
        try:
            yield
        except BaseException:
            for process in self._started:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            raise

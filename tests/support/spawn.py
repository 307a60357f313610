"""Child processes of tests that run on uvloop."""

import asyncio
import gc
from typing import Any


async def spawn(*argv: str, **options: Any) -> asyncio.subprocess.Process:
    """``asyncio.create_subprocess_exec`` without the cycle collector in the fork.

    uvloop forks with Python's handlers for it, which may collect garbage; a synchronous gRPC
    channel in it then waits, for ever, for a thread that the fork does not have.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        return await asyncio.create_subprocess_exec(*argv, **options)
    finally:
        if collecting:
            gc.enable()

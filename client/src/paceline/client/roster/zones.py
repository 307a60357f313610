"""The availability zone from the instance's metadata service, only when asked for."""

import asyncio
import logging
import re
from typing import Final

_LOG: Final = logging.getLogger("paceline.client")

METADATA: Final = "metadata"
"""``zone="metadata"``: ask the metadata service, in the background."""
HOST: Final = "169.254.169.254"
TIMEOUT_S: Final = 2.0
ANSWER_BYTES_MAX: Final = 4096
_WORD: Final = re.compile(r"[\x21-\x7e]{1,1024}")
"""A token, or a zone: what is neither (the page of a captive portal) is no answer of the service,
and goes into no header."""


async def zone_of_instance(host: str = HOST, port: int = 80) -> str | None:
    """By version 2 of the metadata service (a token first); None when there is none."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            token = await _ask(
                host, port, "PUT /latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60"
            )
            zone = await _ask(
                host,
                port,
                "GET /latest/meta-data/placement/availability-zone",
                f"X-aws-ec2-metadata-token: {token}",
            )
    except (OSError, TimeoutError, ValueError) as error:
        _LOG.warning("no zone from the instance's metadata: %s", error or type(error).__name__)
        return None
    return zone


async def _ask(host: str, port: int, request: str, header: str) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(
            f"{request} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nContent-Length: 0\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        answer = await reader.read(ANSWER_BYTES_MAX)
        while chunk := await reader.read(ANSWER_BYTES_MAX):
            answer += chunk
            if len(answer) > ANSWER_BYTES_MAX:
                raise ValueError("an answer of the metadata service is too long")
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.decode("latin-1").partition("\r\n\r\n")
    if " 200 " not in head.partition("\r\n")[0]:
        raise ValueError(f"the metadata service answered {head.partition(chr(13))[0]!r}")
    found = body.strip()
    if _WORD.fullmatch(found) is None:
        raise ValueError("what answered is no metadata service: it gave neither a token nor a zone")
    return found

"""The zone from an instance's metadata, and what is said without botocore."""

import asyncio
import subprocess
import sys

import pytest

from paceline.client.roster.zones import zone_of_instance


async def asked(answers: dict[str, str]) -> tuple[str | None, list[str]]:
    """What a metadata service with these answers makes of it, and what it was asked."""
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        requests.append(request)
        body = answers.get(request.split()[1])
        head = "HTTP/1.1 404 Not Found" if body is None else "HTTP/1.1 200 OK"
        writer.write(f"{head}\r\nContent-Length: {len(body or '')}\r\n\r\n{body or ''}".encode())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        zone = await zone_of_instance(*server.sockets[0].getsockname())
    return zone, requests


async def test_a_token_and_then_the_zone() -> None:
    zone, requests = await asked(
        {
            "/latest/api/token": "secret",
            "/latest/meta-data/placement/availability-zone": "eu-central-1b",
        }
    )
    assert zone == "eu-central-1b"
    assert requests[0].startswith("PUT ")
    assert "X-aws-ec2-metadata-token: secret" in requests[1]


@pytest.mark.parametrize("page", ["<html> Sign in </html>", "a\r\nX-Injected: b", "", "\xe9"])
async def test_a_page_is_neither_token_nor_zone(page: str) -> None:
    zone_path = "/latest/meta-data/placement/availability-zone"
    zone, requests = await asked({"/latest/api/token": page, zone_path: "eu-central-1b"})
    assert zone is None
    assert len(requests) == 1, "it is put into no header"
    assert (await asked({"/latest/api/token": "secret", zone_path: page}))[0] is None


async def test_no_zone_is_no_error() -> None:
    assert (await asked({}))[0] is None


@pytest.mark.parametrize("name", ["Client", "AsyncClient", "resource"])
def test_without_botocore_it_says_what_to_install(name: str) -> None:
    code = f"import sys; sys.modules['botocore'] = None; import paceline; paceline.{name}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert "pip install botocore" in done.stderr

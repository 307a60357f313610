"""Who is told of an alarm: the address and the command that the operator has set."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from aiohttp import web

from discovery.cloudwatch.acting import WAITING_MAX, Actions
from discovery.cloudwatch.alarming import Change
from tests.support.waiting import until

WRITES = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"
CHANGE = Change(
    {
        "AlarmName": "a",
        "AlarmArn": "arn:a",
        "StateValue": "ALARM",
        "StateReason": "so",
        "StateTransitionedTimestamp": 0.0,
    },
    "OK",
    ("$(touch owned)", "http://elsewhere"),
)


async def test_the_operators_address_and_command_are_told(tmp_path: Path) -> None:
    got: list[dict[str, object]] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.Response(status=200 if len(got) > 1 else 500)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    out = tmp_path / "out"
    command = [sys.executable, "-c", WRITES, str(out)]
    actions = Actions(f"http://127.0.0.1:{port}/hook", command, "c")
    task = asyncio.ensure_future(actions.run())
    actions.tell(CHANGE)  # the address fails, and the command is not asked
    await asyncio.to_thread(actions.tell, CHANGE)
    await until(lambda: out.exists() and out.read_text().endswith("\n"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await runner.cleanup()
    assert len(got) == 2
    (line,) = out.read_text().splitlines()
    told = json.loads(line)
    assert told == got[1]
    assert (told["NewStateValue"], told["OldStateValue"]) == ("ALARM", "OK")
    assert told["Actions"] == list(CHANGE.actions)
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == [out]


async def test_more_changes_than_can_be_told_are_left_out() -> None:
    actions = Actions("http://127.0.0.1:1/", [], "c")
    for _ in range(WAITING_MAX + 5):
        actions.tell(CHANGE)
    await asyncio.sleep(0)
    assert actions._waiting.qsize() == WAITING_MAX
    quiet = Actions("", [], "c")
    quiet.tell(CHANGE)
    await asyncio.sleep(0)
    assert quiet._waiting.empty()

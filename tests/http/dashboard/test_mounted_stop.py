"""An application in which the dashboard is mounted stops, whoever looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import pytest

from support.dashboard_visitor import Visitor
from support.event_pages import EventPage
from support.http_requests import asked
from support.processors import Harness, eventually
from support.servers import free_port

APP = """
from starlette.applications import Starlette
from starlette.routing import Mount

from auth_worker import Settings
from auth_worker.dashboard import Caller, dashboard

jobs = dashboard({url!r}, authorize=lambda scope: Caller("ada", True), settings=Settings(log_level="ERROR"))
app = Starlette(routes=[Mount("/jobs", jobs)])
"""


@pytest.mark.timeout(60)
async def test_an_open_page_does_not_keep_the_application_from_stopping(harness: Harness, tmp_path: Path) -> None:
    (tmp_path / "mounting.py").write_text(APP.format(url=harness.url))
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), "--port", str(port), "mounting:app")
    server = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:

        async def answers() -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                return (await asked(port, "/jobs/")).status == 200
            return False

        await eventually(answers, "the application answers", within=20)
        page = await asyncio.to_thread(EventPage, Visitor(port, "/jobs/"), port)
        await asyncio.to_thread(page.next)
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(page.response.read)  # to its end, which is a proper one
        page.close()
        async with asyncio.timeout(20):
            said = (await server.communicate())[1].decode()
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
    assert "Finished server process" in said
    assert "Traceback" not in said

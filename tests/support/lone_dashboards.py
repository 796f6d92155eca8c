"""The dashboard at an HTTP port of its own, as ``auth-worker dashboard`` serves it."""

from __future__ import annotations

import asyncio
import io

from auth_worker import Settings
from auth_worker.http.dashboard.serve import serve_dashboard
from auth_worker.http.listening_socket import listen
from auth_worker.observability.logs import open_log
from support.admin_api import ADMIN, READER
from support.http_requests import asked
from support.processors import Harness, eventually

TOKENS = {"http_token": ADMIN, "http_read_token": READER, "http_port": 0, "log_level": "ERROR"}


class LoneDashboard:
    """The dashboard on its own, without a service."""

    def __init__(self, harness: Harness, base_path: str = "") -> None:
        self._settings = Settings(redis_url=harness.url, **TOKENS)
        self._base_path = base_path
        self.stream = io.StringIO()
        self.log = open_log(None, self._settings, self.stream)

    async def __aenter__(self) -> int:
        log = self.log.logger
        opened = listen(self._settings, log)
        assert opened is not None
        self._task = asyncio.create_task(serve_dashboard(*opened, log, self._base_path))
        port = int(opened[0].getsockname()[1])

        async def answers() -> bool:
            return (await asked(port, "/livez")).status == 200

        await eventually(answers, "the dashboard answers")
        return port

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

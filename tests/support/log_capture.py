"""A log for tests: a bus whose events it writes, and the written lines."""

from __future__ import annotations

import io
import json
from typing import Any

from auth_worker.config import Settings
from auth_worker.events import EventBus
from auth_worker.observability.log_lines import LogObserver
from auth_worker.observability.logs import Log, open_log


def lines_of(stream: io.StringIO, log: Log) -> list[dict[str, Any]]:
    """Return the written lines, parsed as JSON."""
    log.drain()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def own_log(*, jobs: bool = True, **settings: Any) -> tuple[EventBus, Log, io.StringIO]:
    """Build a bus whose events our own logger writes as JSON lines."""
    stream = io.StringIO()
    log = open_log(None, Settings(http_port=None, **settings), stream)
    bus = EventBus()
    LogObserver(log, jobs=jobs).attach(bus)
    return bus, log, stream

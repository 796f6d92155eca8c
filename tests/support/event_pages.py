"""A page of the dashboard that is open, with the events that it gets."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urljoin

from support.dashboard_visitor import Visitor


class EventPage:
    """The events that one open page gets."""

    def __init__(self, visitor: Visitor, port: int | None) -> None:
        assert port is not None
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._connection.request("GET", urljoin(visitor.base, "events"), headers={"Cookie": visitor.cookie})
        self.response = self._connection.getresponse()

    def next(self) -> dict[str, Any]:
        """Wait for the next event; blocks."""
        while not (line := self.response.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
        return found

    def until_changed(self, queue: str) -> None:
        """Wait until the queue is said to have changed; blocks."""
        while queue not in self.next()["changed"]:
            pass  # another read of the queues

    def close(self) -> None:
        """Close the page."""
        self.response.close()
        self._connection.close()

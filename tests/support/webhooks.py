"""A receiver of webhooks: a real web server in a thread, which answers as it is told to."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

HANG = 0
"""Instead of a status: keep the connection open and answer nothing."""


class Received(NamedTuple):
    """A request."""

    path: str
    headers: dict[str, str]
    body: Any


class Receiver:
    """Answers with ``statuses`` in turn, the last of which repeats. ``requests`` has what it has received."""

    def __init__(self, *statuses: int) -> None:
        self.requests: list[Received] = []
        self.port = 0
        self.scheme = "http"
        self._statuses = list(statuses) or [200]
        self._closed = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens, with a secret in the path as Slack has it."""
        return f"{self.scheme}://127.0.0.1:{self.port}/hook/s3cret"

    def answer_with(self, *statuses: int) -> None:
        """Answer so from now on."""
        self._statuses = list(statuses)

    @property
    def alerts(self) -> list[tuple[str, str]]:
        """What it has been notified of: the status and the queue of each alert."""
        return [(each["status"], each["queue"]) for one in self.requests for each in one.body["alerts"]]

    def take(self, request: Received) -> int:
        """Keep the request, and return the status of the answer."""
        self.requests.append(request)
        status = self._statuses[0] if len(self._statuses) == 1 else self._statuses.pop(0)
        if status == HANG:
            self._closed.wait(60)
        return status

    def close(self) -> None:
        """Let go those that hang."""
        self._closed.set()


@contextmanager
def receiving(receiver: Receiver, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run it on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(Received(self.path, headers, json.loads(body)))
            if status == HANG:
                return
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("location", f"{receiver.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.close()
        server.shutdown()
        server.server_close()
        thread.join()

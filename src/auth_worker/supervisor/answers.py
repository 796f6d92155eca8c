"""Asking the processes: a request goes to each as it came, and comes back as an answer whatever happens."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth_worker.admin.access import OPEN_PATHS
from auth_worker.supervisor.child import Child

PATIENCE_S = 6.0
"""How long a process may take; it has 5 s for its own report."""
PROBE_PATIENCE_S = 0.8
"""Kubernetes waits 1 s for a probe; a process needs 0.75 s at most."""
MOST_EXCHANGES = 16
"""How many requests are with the processes at a time; each takes a thread and a file descriptor."""
_exchanges = ThreadPoolExecutor(MOST_EXCHANGES, "auth-worker-exchange")
_probes = ThreadPoolExecutor(MOST_EXCHANGES, "auth-worker-probe")
"""Apart, so that no probe waits for the end of a long answer."""
HOPS = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"))
"""Headers that are between two neighbours."""


class Answer(NamedTuple):
    """What a process said; ``status`` 0 where it said nothing, and ``body`` why."""

    number: int
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON; with a reason where it is none."""
        try:
            report = json.loads(self.body)
        except ValueError:
            report = None
        said = self.body.decode(errors="replace") or "no answer"
        return report if isinstance(report, dict) else {"reasons": [said]}


async def ask_all(
    children: Sequence[Child],
    request: Request,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> list[Answer]:
    """What all of them say to ``request``; ``headers`` replace those of it."""
    return list(await asyncio.gather(*(ask(child, request, headers, body) for child in children)))


async def ask(
    child: Child, request: Request, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """What ``child`` says. Never raises."""
    if child.pid is None:
        return Answer(child.number, 0, [], b"it does not run, and is started again")
    given = {name: value for name, value in request.headers.items() if name not in HOPS} | dict(headers or {})
    given["x-forwarded-for"] = request.client.host if request.client else ""
    path = request.scope["raw_path"].decode("ascii") + (f"?{request.url.query}" if request.url.query else "")
    is_probe = request.scope["path"] in OPEN_PATHS
    threads, patience = (_probes, PROBE_PATIENCE_S) if is_probe else (_exchanges, PATIENCE_S)
    connection = _UnixConnection(child.address, patience)
    return await asyncio.get_running_loop().run_in_executor(
        threads, _exchange, child, connection, request.method, path, given, body
    )


def _exchange(
    child: Child,
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
) -> Answer:
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        child.has_answered = True
        return Answer(child.number, reply.status, reply.getheaders(), reply.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(child.number, 0, [], f"no answer: {type(error).__name__}".encode())
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: str, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._address)


def reasons_of(answers: Sequence[Answer]) -> list[str]:
    """Why those that are not well are not."""
    return [
        f"process {answer.number}: {reason}"
        for answer in answers
        if answer.status != 200
        for reason in answer.json.get("reasons") or [f"it answers {answer.status}"]
    ]


def refusal_of(answers: Sequence[Answer]) -> Response | None:
    """The refusal of a process, which speaks for all: they have the same tokens."""
    return next((as_response(answer) for answer in answers if 400 <= answer.status < 500), None)


def as_response(answer: Answer) -> Response:
    """The answer as the process gave it."""
    if not answer.status:
        return JSONResponse({"reasons": [f"process {answer.number}: {answer.body.decode()}"]}, 503)
    headers = {name: value for name, value in answer.headers if name.lower() not in HOPS}
    return Response(answer.body, answer.status, headers)

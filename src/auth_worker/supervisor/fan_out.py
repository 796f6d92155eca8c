"""Passes requests on to all service processes, or to one whose response it streams back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import h11
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from auth_worker.http.guard import OPEN_PATHS
from auth_worker.supervisor.child import Child
from auth_worker.supervisor.child_client import ChildConnection, Head

PATIENCE_S = 6.0
"""How long (s) a process may be silent. It has 5 s for its own report."""
PROBE_PATIENCE_S = 0.8
"""Kubernetes waits 1 s for a probe; a process needs 0.75 s at most."""
MOST_EXCHANGES = 16
"""How many requests may wait for the processes at a time; each takes a file descriptor. Probes do not count."""
READING = frozenset(("GET", "HEAD"))
"""The methods of requests that change nothing, and may be sent again."""
NOT_PASSED_BACK = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"date", b"server"))
"""Headers of a response that are for this process alone, or that it writes itself."""


class Answer(NamedTuple):
    """The response of a process. Without one, ``status`` is 0 and the ``body`` the reason."""

    number: int
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON, or a reason if it is not JSON."""
        try:
            report = json.loads(self.body)
        except ValueError:
            report = None
        said = self.body.decode(errors="replace") or "no answer"
        return report if isinstance(report, dict) else {"reasons": [said]}

    @property
    def response(self) -> Response:
        """The answer as the process gave it."""
        if not self.status:
            return JSONResponse({"reasons": [f"process {self.number}: {self.body.decode()}"]}, 503)
        response = Response(self.body, self.status)
        response.raw_headers = self.headers
        return response


class FanOut:
    """Asks ``children``. Belongs to one event loop."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self._exchanges = asyncio.Semaphore(MOST_EXCHANGES)

    async def ask_all(self, request: Request, headers: Mapping[str, str] | None = None) -> list[Answer]:
        """Return the response of each of them to ``request``, sent without a body and with these ``headers``.

        Never raises.
        """
        return list(await asyncio.gather(*(self._ask(child, request, headers or {}) for child in self._children)))

    async def pass_on(self, request: Request) -> Response:
        """Return the response of the first process that runs, streamed.

        If that one does not answer, as one that has just died, the next one gets the request, unless it may change
        something. The body waits for the process to request it, which it does once it has found the token valid.
        """
        async with self._exchanges:
            for child in [child for child in self._children if child.pid] or self._children[:1]:
                opened = await _open(child, request, {}, PATIENCE_S, with_body=True)
                if not isinstance(opened, Answer) or request.method not in READING:
                    break
        if isinstance(opened, Answer):
            return opened.response
        connection, head = opened
        if isinstance(head, h11.Response):
            return PassedBack(connection, head)
        try:
            return PassedBack(connection, await connection.send_body(request.stream(), PATIENCE_S))
        except BaseException as error:
            connection.close()
            if isinstance(error, ClientDisconnect):
                return Response(status_code=400)  # nobody reads it
            if isinstance(error, OSError | h11.ProtocolError):
                return _no_answer(child, error).response
            raise

    async def _ask(self, child: Child, request: Request, headers: Mapping[str, str]) -> Answer:
        is_probe = request.scope["path"] in OPEN_PATHS
        async with nullcontext() if is_probe else self._exchanges:
            patience = PROBE_PATIENCE_S if is_probe else PATIENCE_S
            opened = await _open(child, request, headers, patience)
            if isinstance(opened, Answer):
                return opened
            connection, head = opened
            try:
                read = b"".join([chunk async for chunk in connection.chunks(patience)])
            except (OSError, h11.ProtocolError) as error:
                return _no_answer(child, error)
            finally:
                connection.close()
            return Answer(child.number, head.status_code, _passed_back(head), read)


class PassedBack(StreamingResponse):
    """The response of a process, whose connection it closes at the end, or when the client disconnects."""

    def __init__(self, connection: ChildConnection, head: h11.Response) -> None:
        headers = _passed_back(head)
        has_length = any(name == b"content-length" for name, _ in headers)
        super().__init__(connection.chunks(PATIENCE_S if has_length else None), head.status_code)
        self.raw_headers = headers
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._connection.close()


def reasons_of(answers: Sequence[Answer]) -> list[str]:
    """Return the reasons of the processes that do not respond with 200."""
    return [
        f"process {answer.number}: {reason}"
        for answer in answers
        if answer.status != 200
        for reason in answer.json.get("reasons") or [f"it answers {answer.status}"]
    ]


def refusal_of(answers: Sequence[Answer]) -> Response | None:
    """Return the first refusal, which holds for all processes, since they have the same tokens."""
    return next((answer.response for answer in answers if 400 <= answer.status < 500), None)


async def _open(
    child: Child, request: Request, headers: Mapping[str, str], patience: float, *, with_body: bool = False
) -> tuple[ChildConnection, Head] | Answer:
    """Connect to ``child`` and return the head of its response within ``patience`` s, or why there is none."""
    if child.pid is None:
        return Answer(child.number, 0, [], b"it does not run, and is started again")
    connection = None
    try:
        async with asyncio.timeout(patience):
            connection = await ChildConnection.open(child)
            head = await connection.ask(request, headers, with_body=with_body)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, OSError | h11.ProtocolError):
            return _no_answer(child, error)
        raise
    child.has_answered = True
    return connection, head


def _no_answer(child: Child, error: Exception) -> Answer:
    return Answer(child.number, 0, [], f"no answer: {type(error).__name__}".encode())


def _passed_back(head: Head) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in head.headers if name not in NOT_PASSED_BACK]

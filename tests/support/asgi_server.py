"""Serves an ASGI application as its users do, and stands before it as a proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from support.http_requests import ask
from support.processors import eventually


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    """Serve ``app`` in this loop; yields the port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started, "uvicorn serves")
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await task


def stripping_proxy(path: str, port: int) -> Starlette:
    """A reverse proxy that has the pages of ``port`` under ``path``, speaks TLS outside and takes the path off."""

    async def pass_on(request: Request) -> Response:
        target = request.url.path.removeprefix(path)
        query = f"?{request.url.query}" if request.url.query else ""
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        headers["x-forwarded-proto"] = "https"
        body = await request.body() or None
        answer = await asyncio.to_thread(ask, port, target + query, request.method, headers, body)
        kept = {
            name: value
            for name, value in answer.headers.items()
            if name not in ("content-length", "transfer-encoding")
        }
        return Response(answer.text, answer.status, kept)

    return Starlette(routes=[Route(f"{path}/{{rest:path}}", pass_on, methods=["GET", "POST"])])

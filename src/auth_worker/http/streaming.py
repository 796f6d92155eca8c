"""Responses that are produced while they are sent, such as server-sent events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class GeneratedResponse(StreamingResponse):
    """Sends what ``chunks`` yields, and closes it at the end, also if the client disconnects earlier.

    ``chunks`` waits at ``yield`` while the client has not read what came before. ``headers`` replace the defaults
    of every response, such as Content-Security-Policy.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[str | bytes],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        super().__init__(chunks, status_code, headers, media_type)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Part of ASGI."""
        async with contextlib.aclosing(self._chunks):
            await super().__call__(scope, receive, send)

"""A request goes to a process that runs, also while another one has died and nobody has noticed yet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from auth_worker.supervisor.fan_out import FanOut


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 503)])
async def test_what_only_reads_goes_to_the_next_process_if_one_does_not_answer(
    tmp_path: Path, method: str, status: int
) -> None:
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 Yes\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    children = [
        SimpleNamespace(number=number, pid=number, address=str(tmp_path / str(number)), has_answered=True)
        for number in (1, 2)
    ]
    scope = {
        **{"type": "http", "method": method, "path": "/queue", "raw_path": b"/queue", "query_string": b""},
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
    }
    async with await asyncio.start_unix_server(answer, children[1].address), asyncio.timeout(10):
        response = await FanOut(cast("Any", children)).pass_on(Request(scope))
        assert response.status_code == status
        assert len(asked) == (status == 200), "what may change something is not sent again"
        if status == 200:
            cast("Any", response)._connection.close()

"""Hosts with several addresses, some of which drop every packet."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import uvloop

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run_on(loop: str, story: Coroutine[Any, Any, Any]) -> Any:
    """Run ``story`` on a new loop of that kind, for at most 20 s."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(asyncio.wait_for(story, 20))


@contextlib.contextmanager
def black_hole(address: str, port: int = 0) -> Iterator[int]:
    """A port at ``address`` where connecting never finishes, since its backlog is full."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Make the loops of this test resolve these names to these addresses."""

    def answers(host: str, port: int) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, int(port), 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port)))
            for address in names[host]
        ]

    for kind in (asyncio.BaseEventLoop, uvloop.Loop):
        real = kind.getaddrinfo

        async def found(self: Any, host: Any, port: Any, *, _real: Any = real, **options: Any) -> Any:
            return answers(host, port) if host in names else await _real(self, host, port, **options)

        monkeypatch.setattr(kind, "getaddrinfo", found)

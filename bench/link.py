"""A slow link as a process of its own: ``python -m bench.link PORT MILLISECONDS`` forwards to PORT of 127.0.0.1.

Each direction is delayed by so much; how much goes through is not limited. Its port is the first line it prints.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections import deque

SLACK_S = 0.0002


class _Pipe:
    """One direction: what came in goes out ``delay`` s later, in order, once there is somewhere to go."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._due: deque[tuple[float, bytes]] = deque()
        self._armed = False
        self._out: asyncio.WriteTransport | None = None

    def put(self, data: bytes) -> None:
        self._due.append((time.monotonic() + self._delay, data))
        self._arm()

    def attach(self, out: asyncio.WriteTransport) -> None:
        self._out = out
        self._arm()

    def close(self) -> None:
        if self._out is not None:
            self._out.close()

    def _arm(self) -> None:
        if self._out is not None and self._due and not self._armed:
            self._armed = True
            wait = max(self._due[0][0] - time.monotonic(), 0)
            asyncio.get_running_loop().call_later(wait, self._pass)

    def _pass(self) -> None:
        self._armed = False
        ready, now = [], time.monotonic() + SLACK_S
        while self._due and self._due[0][0] <= now:
            ready.append(self._due.popleft()[1])
        if ready and self._out is not None:
            self._out.write(b"".join(ready))
        self._arm()


class _End(asyncio.Protocol):
    """One end of a forwarded connection: what it reads goes into ``into``, and it writes what comes ``out``."""

    def __init__(self, into: _Pipe, out: _Pipe) -> None:
        self._into, self._out = into, out

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out.attach(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self._into.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._into.close()
        self._out.close()


async def _serve(port: int, delay: float) -> None:
    loop = asyncio.get_running_loop()
    connecting: set[asyncio.Task[object]] = set()

    def entrance() -> _End:
        there, back = _Pipe(delay), _Pipe(delay)
        task: asyncio.Task[object] = loop.create_task(
            loop.create_connection(lambda: _End(back, there), "127.0.0.1", port)
        )
        connecting.add(task)
        task.add_done_callback(connecting.discard)
        return _End(there, back)

    server = await loop.create_server(entrance, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Forward until stdin ends."""
    port, milliseconds = int(sys.argv[1]), float(sys.argv[2])
    with asyncio.Runner(loop_factory=_exact_loop) as runner:
        runner.run(_serve(port, milliseconds / 1000))


def _exact_loop() -> asyncio.AbstractEventLoop:
    """Epoll's timers have whole milliseconds: what went in one by one within one would come out in a heap."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    main()

"""The frames of a worker process arrive whole and in order, however they are cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from auth_worker.engine.executors.frame_reader import MOST_BYTES, FrameReader
from auth_worker.engine.executors.transport import LENGTH

BODIES = [b"one", b"", b"x" * (3 * MOST_BYTES), b"last"]
STREAM = b"".join(LENGTH.pack(len(body)) + body for body in BODIES)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("size", [1, 7, 50_000, len(STREAM)])
async def test_frames_arrive_whole_and_in_order(pair: tuple[socket.socket, socket.socket], size: int) -> None:
    ours, theirs = pair
    reader = FrameReader(ours)

    async def send() -> None:
        cut = STREAM[: 64 * size] if size < 10 else STREAM
        for start in range(0, len(cut), size):
            await asyncio.get_running_loop().sock_sendall(theirs, cut[start : start + size])
        await asyncio.get_running_loop().sock_sendall(theirs, STREAM[len(cut) :])

    sending = asyncio.create_task(send())
    async with asyncio.timeout(30):
        assert [await reader.next() for _ in BODIES] == BODIES
    await sending
    reader.close()


async def test_what_came_before_the_end_is_read_and_then_it_ends(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    reader = FrameReader(ours)
    theirs.send(LENGTH.pack(3) + b"oneand half of")
    theirs.close()
    async with asyncio.timeout(30):
        assert await reader.next() == b"one"
        for _ in range(2):
            with pytest.raises(EOFError):
                await reader.next()


def test_each_event_loop_is_served(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    reader = FrameReader(ours)
    for body in (b"first", b"second"):
        theirs.send(LENGTH.pack(len(body)) + body)
        assert asyncio.run(asyncio.wait_for(reader.next(), 30)) == body

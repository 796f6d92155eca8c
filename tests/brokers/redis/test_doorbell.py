"""The doorbell waits for all queues that are watched, whichever of its two connections is quicker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from auth_worker.brokers.redis import doorbell
from auth_worker.brokers.redis.doorbell import Doorbell
from support.processors import eventually


class Line:
    """A link that is up, whose replies the test gives."""

    client_id = 7
    is_up = True

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Callable[[Any], None]]] = []

    def send(self, command: bytes, on_reply: Callable[[Any], None]) -> None:
        self.sent.append((command, on_reply))

    async def next(self, number: int) -> tuple[bytes, Callable[[Any], None]]:
        """The command of this number, once it is sent."""
        await eventually(lambda: len(self.sent) > number, f"command {number}")
        return self.sent[number]


async def test_a_wait_is_ended_although_the_request_to_end_it_comes_first() -> None:
    blocking, commands = Line(), Line()
    bell = Doorbell(blocking, commands)  # type: ignore[arg-type]
    bell.start()
    bell.watch(b"first", lambda due: None)
    _, answer_wait = await blocking.next(0)
    bell.watch(b"second", lambda due: None)
    _, answer = await commands.next(0)
    answer(0)
    command, answer = await commands.next(1)
    assert b"UNBLOCK" in command
    answer(1)
    answer_wait(None)
    command, _ = await blocking.next(1)
    assert b"first" in command
    assert b"second" in command
    await bell.stop()


async def test_a_wait_that_has_ended_by_itself_is_not_ended_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "UNBLOCK_PAUSE_S", 0.0)
    blocking, commands = Line(), Line()
    bell = Doorbell(blocking, commands)  # type: ignore[arg-type]
    bell.start()
    bell.watch(b"first", lambda due: None)
    _, answer_wait = await blocking.next(0)
    bell.watch(b"second", lambda due: None)
    _, answer = await commands.next(0)
    answer(0)
    answer_wait([b"first", b"0", b"0"])
    await blocking.next(1)
    for _ in range(5):  # as often as the loop turns until the request would be repeated
        await asyncio.sleep(0)
    assert len(commands.sent) == 1
    await bell.stop()

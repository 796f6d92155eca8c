"""What a forked child has of its parent's credential provider."""

from __future__ import annotations

import asyncio
import threading

from auth_worker.broker.credentials import CredentialSource


class Provider:
    """Answers in the loop that asks, or hangs in a thread."""

    def __init__(self, hangs: threading.Event) -> None:
        self._hangs = hangs

    def get_credentials(self) -> tuple[str]:
        self._hangs.wait(10)
        return ("secret",)


async def test_a_child_waits_for_no_thread_of_its_parent() -> None:
    free = threading.Event()
    source = CredentialSource(Provider(free))
    asking = asyncio.create_task(source.get())
    await asyncio.sleep(0.05)
    with source._lock:  # held by another thread when the process forks
        before = source._answer
        source.after_fork()
    free.set()
    assert await asyncio.wait_for(source.get(), 3) == ("secret",)
    assert source._answer is not before
    assert await asking == ("secret",)

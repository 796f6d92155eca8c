"""What a forked child has of its parent's credential provider."""

from __future__ import annotations

import asyncio
import threading

from auth_worker.brokers.redis.wire.credentials import CredentialSource


class Provider:
    """Answers once ``free`` is set; sets ``called`` before."""

    def __init__(self) -> None:
        self.called, self.free = threading.Event(), threading.Event()

    def get_credentials(self) -> tuple[str]:
        self.called.set()
        self.free.wait(10)
        return ("secret",)


async def test_a_child_waits_for_no_thread_of_its_parent() -> None:
    provider = Provider()
    source = CredentialSource(provider)
    asking = asyncio.create_task(source.get())
    assert await asyncio.to_thread(provider.called.wait, 5)
    lock, answer = source._lock, source._answer
    with lock:  # held by another thread when the process forks, and so for ever in the child
        source.after_fork()
        provider.free.set()
        assert source._lock is not lock
        assert await asyncio.wait_for(source.get(), 3) == ("secret",)
    assert source._answer is not answer
    assert await asking == ("secret",)

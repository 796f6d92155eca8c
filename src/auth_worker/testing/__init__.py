"""For tests of code that enqueues or runs jobs: without a broker, in memory, or on a real broker of the test.

::

    async def test_the_mail_greets() -> None:
        receipt = await perform(welcome, to="ada@example.org", user=ada, server=FakeServer())
        assert receipt.attempt == 1

    async def test_a_sign_up_enqueues_the_mail(jobs: MemoryBroker) -> None:     # a fixture of pytest
        await sign_up("ada@example.org")
        jobs.assert_enqueued(welcome, to="ada@example.org")
        await jobs.drain(mail)

    async def test_the_mail_on_a_real_broker(worker: Callable[..., RunningWorker]) -> None:
        async with worker(mail):
            handle = await welcome.enqueue(to="ada@example.org", user=ada)
            assert (await handle.result(timeout=10)).attempt == 1

A name is imported from its module when it is first used, so that pytest starts as fast as before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auth_worker.testing.clock import Clock
    from auth_worker.testing.memory_broker import MemoryBroker
    from auth_worker.testing.overriding import override_resource
    from auth_worker.testing.performing import make_job, perform, perform_sync
    from auth_worker.testing.real_broker import RealBroker, RunningWorker

__all__ = [
    "Clock",
    "MemoryBroker",
    "RealBroker",
    "RunningWorker",
    "make_job",
    "override_resource",
    "perform",
    "perform_sync",
]

_MODULE_OF = {
    "Clock": "clock",
    "MemoryBroker": "memory_broker",
    "RealBroker": "real_broker",
    "RunningWorker": "real_broker",
    "make_job": "performing",
    "override_resource": "overriding",
    "perform": "performing",
    "perform_sync": "performing",
}


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> Any:
        """Import a public name."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        return value

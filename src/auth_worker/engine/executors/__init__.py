"""Where a consumer runs: on the loop (``async def``), in a thread (plain ``def``), or in a process of its own.

A thread cannot be killed: when its run is cancelled, ``job.cancelled`` is set and the run ends when the function
returns. Code that may hang belongs in a process (``execution="process"``): that one is killed.
"""

from auth_worker.core.execution_mode import Execution
from auth_worker.engine.executors.choice import executor_for
from auth_worker.engine.executors.local import (
    Executor,
    HoldsResources,
    LoopExecutor,
    StartsSlowly,
    ThreadExecutor,
    close_executor,
    started,
)
from auth_worker.engine.executors.process import ProcessExecutor

__all__ = [
    "Execution",
    "Executor",
    "HoldsResources",
    "LoopExecutor",
    "ProcessExecutor",
    "StartsSlowly",
    "ThreadExecutor",
    "close_executor",
    "executor_for",
    "started",
]

"""A process task that hangs, in a module that worker processes can import."""

from __future__ import annotations

import time

from auth_worker.tasks import TaskQueue

queue = TaskQueue("slowTasks", "redis://127.0.0.1:1", worker_config={"concurrency": 1})


@queue.task(execution="process", timeout=0.3, attempts=1)
def hang() -> None:
    """Run until it is killed."""
    time.sleep(600)

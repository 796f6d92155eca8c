"""The options of a worker process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

QUEUE, DEAD = "work", "workDead"
LOCK_S = 0.6
QUICK = {
    "concurrency": 4,
    "lock_duration": int(LOCK_S * 1000),
    "stalled_interval": 150,
    "backoff": {"type": "fixed", "delay": 10},
    "remove_on_complete": {"count": -1},
    "remove_on_fail": {"count": -1},
}
"""A worker config with leases and checks in fractions of a second, that keeps every finished job."""


@dataclass(frozen=True)
class WorkerOptions:
    """Everything in it is JSON.

    ``dead``: where the letters of every queue go; a ``*`` stands for the queue's name.
    ``config`` and ``settings`` change ``QUICK`` and the usual settings. ``crash``: the point at which the process
    kills itself, when it comes there for the ``crash_at``-th time. ``off``: the safeguard that is switched off.
    ``plain``: the consumer is a plain function, which runs in a thread; ``processes``: in processes of its own.
    ``unwritten``: its runs are too many for
    the run_log. ``clock_jumps``: the wall clock jumps an hour forth and back all the time. ``log``: where stdout
    and stderr go; None is a pipe that nobody reads. ``partitions``: how many each queue has.
    """

    url: str
    run_log: str
    log: str | None
    queues: list[str] = field(default_factory=lambda: [QUEUE])
    dead: str | None = DEAD
    config: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    crash: str = ""
    crash_at: int = 1
    off: str = ""
    plain: bool = False
    processes: bool = False
    unwritten: bool = False
    clock_jumps: bool = False
    partitions: int = 1

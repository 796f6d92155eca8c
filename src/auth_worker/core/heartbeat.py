"""The heartbeat of a worker process: what it says of itself every few seconds, for operators."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from auth_worker.core.camel_model import CamelModel

BEAT_S = 2.0
"""The pause (s) between two heartbeats, and so how long a request to a process may wait."""
LIFETIME_MS = 30_000
"""How long (ms) the last heartbeat of a process that has died is kept."""
SILENCE_MS = 6_000
"""After how long (ms) without a heartbeat a process counts as silent: it hangs, is cut off or has died."""
MOST_JOBS = 10
"""How many running jobs of a queue a heartbeat has, those first that have run longest."""

WorkerRequest = Literal["pause", "resume", "shut-down"]
"""What an operator may ask of a worker process."""
WorkerState = Literal["running", "paused", "draining"]


class RunningJob(CamelModel):
    """A job that a process holds, and for how long (ms) it has run."""

    id: str
    name: str
    running_ms: int


class QueueBeat(CamelModel):
    """What a process does for one queue: ``active`` of its ``slots`` are in use, at most ``MOST_JOBS`` listed."""

    queue: str
    worker: str
    slots: int
    active: int
    paused: bool
    leases_lost: int = 0
    suspects: int = 0
    jobs: list[RunningJob] = Field(default_factory=list)


class Heartbeat(CamelModel):
    """What a worker process says of itself.

    ``lag_ms`` is how late its event loop is: the work loop, in which the consumers run. ``memory_bytes`` is what
    it holds in physical memory, None where the platform does not show it.
    """

    id: str
    host: str
    pid: int
    version: str
    state: WorkerState
    up_ms: int
    lag_ms: int
    memory_bytes: int | None = None
    queues: list[QueueBeat] = Field(default_factory=list)

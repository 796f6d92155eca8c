"""The clients that are connected as producers, and the jobs they have added."""

from __future__ import annotations

import time

from redis import Redis


def waiting(redis: Redis) -> list[str]:
    """Return the ids of the waiting jobs of the queue ``work``, in the order in which they were added."""
    ids: list[bytes] = redis.lrange("bull:work:wait", 0, -1)  # type: ignore[assignment]
    return [job_id.decode() for job_id in reversed(ids)]


def producers(redis: Redis) -> list[str]:
    """Return the ids of the clients that are producers."""
    clients = redis.client_list()
    return [client["id"] for client in clients if client["name"].startswith("auth-worker:producer:")]


def until_connected(redis: Redis, number: int) -> None:
    """Wait until this many producers are connected. The server notices a closed socket a moment later."""
    deadline = time.monotonic() + 5
    while len(producers(redis)) != number:
        assert time.monotonic() < deadline, f"{len(producers(redis))} producers are connected"
        time.sleep(0.01)

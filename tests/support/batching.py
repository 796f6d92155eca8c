"""Calls that can be batched, for tests to send both ways: in one batch, and one by one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from auth_worker.brokers.redis.additions import Additions, add_scripts
from auth_worker.brokers.redis.scripts.frames import WorkerFrames, frame_scripts
from auth_worker.brokers.redis.wire.call_types import Call
from auth_worker.config import WorkerConfig
from auth_worker.core.clock import now_ms
from auth_worker.core.policy import JobPolicy
from support.resp_reader import command_in

CONFIG = WorkerConfig()


@contextlib.asynccontextmanager
async def scripted(url: str) -> AsyncIterator[Redis]:
    """A client of a server that has all our scripts loaded."""
    async with Redis.from_url(url) as client:
        for each in {*frame_scripts(), *add_scripts()}:
            await client.script_load(each.text)
        yield client


async def make(redis: Redis, command: bytes) -> Any:
    """Send a command in wire format and return the reply; an error is returned, not raised."""
    try:
        return await redis.execute_command(*command_in(command))  # type: ignore[no-untyped-call]
    except ResponseError as error:
        return error


async def make_all(redis: Redis, calls: list[Call], *, batched: bool) -> list[Any]:
    """Send calls of one kind, in a batch or one by one, and return the replies."""
    kind = calls[0][0]
    assert kind is not None
    if batched:
        answers: list[Any] = await make(redis, kind.join([content for _, content in calls]))
        return answers
    return [await make(redis, kind.alone(content)) for _, content in calls]


class ActiveJobs:
    """Active jobs of one queue, each with its own token."""

    def __init__(self, redis: Redis, queue: str = "mail") -> None:
        self.redis = redis
        self.queue = queue
        self.frames = WorkerFrames("bull", queue, CONFIG, "worker")
        self.now = now_ms()

    async def take_up(self, active: int, waiting: int) -> list[str]:
        """Add jobs, fetch the first ones, and return their ids."""
        frame = Additions("bull", self.queue).frame({})
        ids = [f"job-{number}" for number in range(active + waiting)]
        calls = [frame.call(("mail", b"{}", job_id, self.now)) for job_id in ids]
        await make_all(self.redis, calls, batched=True)
        for job_id in ids[:active]:
            assert await self.fetch(job_id) == job_id
        return ids

    async def fetch(self, token: str) -> str:
        """Fetch the next job, lock it with ``token``, and return its id."""
        options = self.frames.fetch_options(token)
        answer = await make(self.redis, self.frames.fetch.fill(b"%d" % self.now, options))
        return str(answer[1].decode())

    def completion(
        self, job_id: str, keep: dict[str, Any], token: str = "", *, fetch: bool = True, at: int = 0
    ) -> Call:
        """Return the call that completes a job. By default its token is its id, and its time now."""
        options = self.frames.finish_options(JobPolicy(keep, CONFIG), token or job_id, "completed")
        key = f"bull:{self.queue}:{job_id}".encode()
        frame = self.frames.complete[fetch]
        return frame.batch, (frame, (key, job_id.encode(), b"%d" % (at or self.now), b"null", options))


def next_of(answer: Any) -> Any:
    """Summarize a reply: the id of the job that was fetched with it, the code, or why there is none."""
    match answer:
        case [0, _, rest, _]:
            return "rate limited" if rest else "none"
        case [_, job_id, *_]:
            return job_id.decode()
    return answer

"""Calls that can go out in a batch, for tests to make both ways: in one, and one by one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from auth_worker.broker.additions import Additions, add_scripts
from auth_worker.broker.calls import Call
from auth_worker.broker.frames import WorkerFrames, frame_scripts
from auth_worker.config import WorkerConfig
from auth_worker.options import JobOptions
from wire import command_in

CONFIG = WorkerConfig()


@contextlib.asynccontextmanager
async def scripted(url: str) -> AsyncIterator[Redis]:
    """A client of a server that knows all our scripts."""
    async with Redis.from_url(url) as client:
        for each in {*frame_scripts(), *add_scripts()}:
            await client.script_load(each.text)
        yield client


async def make(redis: Redis, command: bytes) -> Any:
    """What Redis answers to a command in wire format; an error as itself."""
    try:
        return await redis.execute_command(*command_in(command))  # type: ignore[no-untyped-call]
    except ResponseError as error:
        return error


async def make_all(redis: Redis, calls: list[Call], *, batched: bool) -> list[Any]:
    """What Redis answers to calls of one kind, made in a batch or one by one."""
    kind = calls[0][0]
    assert kind is not None
    if batched:
        answers: list[Any] = await make(redis, kind.join([content for _, content in calls]))
        return answers
    return [await make(redis, kind.alone(content)) for _, content in calls]


class Bench:
    """Jobs of one queue that are active, each with a token of its own."""

    def __init__(self, redis: Redis, queue: str = "mail") -> None:
        self.redis = redis
        self.queue = queue
        self.frames = WorkerFrames("bull", queue, CONFIG, "worker")
        self.now = round(time.time() * 1000)

    async def take_up(self, active: int, waiting: int) -> list[str]:
        """Add so many and fetch the first; returns their ids."""
        frame = Additions("bull", self.queue).frame({})
        ids = [f"job-{number}" for number in range(active + waiting)]
        calls = [frame.call(("mail", b"{}", job_id, self.now)) for job_id in ids]
        await make_all(self.redis, calls, batched=True)
        for job_id in ids[:active]:
            assert await self.fetch(job_id) == job_id
        return ids

    async def fetch(self, token: str) -> str:
        """Fetch the next job and lock it with ``token``; returns its id."""
        options = self.frames.fetch_options(token)
        answer = await make(self.redis, self.frames.fetch.fill(b"%d" % self.now, options))
        return str(answer[1].decode())

    def completion(
        self, job_id: str, keep: dict[str, Any], token: str = "", *, fetch: bool = True, at: int = 0
    ) -> Call:
        """The call that completes a job; its token is its id, and its time now, if nothing else is said."""
        options = self.frames.finish_options(JobOptions(keep, CONFIG), token or job_id, "completed")
        key = f"bull:{self.queue}:{job_id}".encode()
        frame = self.frames.complete[fetch]
        return frame.batch, (frame, (key, job_id.encode(), b"%d" % (at or self.now), b"null", options))


def next_of(answer: Any) -> Any:
    """The id of the job that was fetched along, the code, or why there is none: the queue rests, or nothing."""
    match answer:
        case [0, _, rest, _]:
            return "rests" if rest else "none"
        case [_, job_id, *_]:
            return job_id.decode()
    return answer

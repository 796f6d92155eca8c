"""What a chaos test works with: one broker, one producer, a pool of worker processes, and the final check."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self, Unpack

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from auth_worker import JobQueue
from auth_worker.queue import JobOptionsDict
from chaos.final_states import UNREADABLE, FinalStates, read_final_states
from chaos.run_log import RunLog
from chaos.worker_options import DEAD, QUEUE, WorkerOptions
from chaos.worker_pool import ForkServer, WorkerPool
from support.processors import eventually
from support.proxy import Proxy

Work = Mapping[str, Any]
PATIENCE_S = 30.0
"""How long a producer waits for the broker."""


class ChaosHarness:
    """``url``: the broker; ``found_by``: how workers and producers are to find it, ``url`` if not given."""

    def __init__(self, fork_server: ForkServer, directory: Path, url: str, *, found_by: str = "") -> None:
        self.run_log = RunLog(directory / "run_log")
        self.log = directory / "workers.log"
        self.jobs_url = found_by or url
        options = WorkerOptions(url=self.jobs_url, run_log=str(self.run_log.path), log=str(self.log))
        self.workers = WorkerPool(fork_server, self.run_log, options)
        self.port = int(url.rpartition(":")[2].partition("/")[0])
        self.redis: Any = _client(url)
        self.jobs = JobQueue(QUEUE, self.jobs_url, timeout=PATIENCE_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.workers.kill_all()
        await self.jobs.close()
        await self.redis.aclose()

    async def look_at(self, url: str) -> None:
        """The broker is another server from now on."""
        await self.redis.aclose()
        self.redis = _client(url)

    async def add(self, *works: Work, **options: Unpack[JobOptionsDict]) -> list[str]:
        """Add a job for each work, and note them as accepted once they are."""
        ids = await self.jobs.add_bulk({"name": "work", "data": dict(work), "opts": options} for work in works)
        for job_id, work in zip(ids, works, strict=True):
            self.run_log.write("accepted", id=job_id, data=dict(work))
        return list(ids)

    async def add_malformed(self, data: bytes = b'{"broken": ') -> str:
        """Add a job whose data are no JSON; it comes after a delay, so that no worker sees it as it was before."""
        job_id = await self.jobs.add("work", {}, delay=500)
        await self.redis.hset(f"bull:{QUEUE}:{job_id}", "data", data)
        self.run_log.write("accepted", id=job_id, data=UNREADABLE)
        return job_id

    async def idle(self) -> None:
        """Wait until a worker waits at the doorbell, so that what it asked before has been answered."""

        async def waits() -> bool:
            return any(client["cmd"] == "bzpopmin" for client in await self.redis.client_list())

        await eventually(waits, "a worker waits at the doorbell")

    async def started(self, number: int = 1, within: float = 10.0) -> None:
        """Wait until so many runs have begun."""
        await eventually(lambda: len(self.run_log.entries("started")) >= number, f"{number} runs", within)

    async def logged(self, text: str, within: float = 10.0) -> None:
        """Wait until a worker has logged a line with ``text``."""
        await eventually(lambda: self.log.exists() and text in self.log.read_text(), f"{text!r} is logged", within)

    async def until_stalled_out(self, ids: list[str], within: float = 20.0) -> None:
        """Wait until each of the jobs has stalled once too often, and nobody has dealt with that yet."""

        async def all_are() -> bool:
            return all([await self.redis.hexists(f"bull:{QUEUE}:{job_id}", "defa") for job_id in ids])

        await eventually(all_are, f"{len(ids)} jobs have stalled out", within)

    @contextlib.asynccontextmanager
    async def behind_a_proxy(self) -> AsyncIterator[Proxy]:
        """A proxy to the broker; it is healed at the end, so that what hangs in it is let go."""
        async with Proxy(self.port) as proxy:
            yield proxy
            proxy.heal()

    async def drained(self, within: float = 20.0) -> None:
        """Wait until no job waits or runs any more."""

        async def empty() -> bool:
            waiting = [await self.redis.llen(f"bull:{QUEUE}:{state}") for state in ("wait", "active")]
            return not sum(waiting) + await self.redis.zcard(f"bull:{QUEUE}:delayed")

        await eventually(empty, "an empty queue", within)

    async def final_states(self) -> FinalStates:
        """Where every job stands."""
        return await read_final_states(self.redis, QUEUE, DEAD)

    async def finished(self) -> int:
        """How many jobs have completed or failed."""
        completed, failed = [await self.redis.zcard(f"bull:{QUEUE}:{state}") for state in ("completed", "failed")]
        return int(completed + failed)

    async def quiet(self, within: float) -> bool:
        """Wait until every accepted job has completed or is dead with its letter; False if they do not."""
        accepted = len(self.run_log.accepted())

        async def all_done() -> bool:
            failed, letters = (
                await self.redis.zcard(f"bull:{QUEUE}:failed"),
                await self.redis.llen(f"bull:{DEAD}:wait"),
            )
            return await self.finished() >= accepted and failed == letters

        try:
            await eventually(all_done, "quiescence", within)
        except AssertionError:
            return False
        return True

    async def verdict(self, within: float = 20.0, *, faults_excuse: bool = False) -> list[str]:
        """Wait for quiescence, then say everything that is wrong; an empty list is right."""
        await self.quiet(within)
        final_states = await self.final_states()
        return [
            *final_states.violations(self.run_log.accepted()),
            *(f"{job_id} ran again after it had returned" for job_id in self._doubled(faults_excuse)),
            *(f"{job_id} ran twice at the same time" for job_id in self.run_log.overlapping()),
        ]

    def _doubled(self, faults_excuse: bool) -> list[str]:
        return self.run_log.doubled(faults_excuse=faults_excuse)


def _client(url: str) -> Redis:
    return Redis.from_url(url, retry=Retry(ConstantBackoff(0.1), 50))

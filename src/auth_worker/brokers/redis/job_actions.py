"""The actions of a running job on its queue: log, progress, renewal of its lease, the values of its children."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from auth_worker.brokers.redis.scripts.loader import ADD_LOG, builders, script
from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pairs_of
from auth_worker.config import WorkerConfig
from auth_worker.core.json_codec import encode_json
from auth_worker.core.keys import key_prefix
from auth_worker.core.policy import natural
from auth_worker.core.run import current_run
from auth_worker.errors import BrokerError, LeaseLostError
from auth_worker.events import EventBus, JobLogged
from auth_worker.job import Job
from auth_worker.system.forks import reset_in_child

UPDATE_PROGRESS = script("updateProgress")


class QueueActions:
    """The actions of one queue's jobs. ``loop`` is the work loop, from which this is made."""

    def __init__(self, link: Link, prefix: str, queue: str, config: WorkerConfig, bus: EventBus) -> None:
        self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self._bus = bus
        self._link = link
        self._key_prefix = key_prefix(prefix, queue)
        self._config = config
        self._scripts: Any = builders(prefix, queue, link.call)
        reset_in_child(self)

    def after_fork(self) -> None:
        """In a forked child: the work loop runs in the parent."""
        self.loop = None

    async def add_log(self, job: Job, row: str) -> int:
        """Source: addLog-2.lua. Raises ``BrokerError``; the row is in the service's log even then."""
        run = current_run.get()
        trace_id = "" if run is None else run.trace_id
        self._bus.emit(JobLogged(job.queue_name, job.id, job.name, job.attempt, row, trace_id))
        key = self._key_prefix + job.id
        args = [job.id, row, natural(job.opts.get("keepLogs")) or ""]
        return _checked(job, await self._link.call(script(ADD_LOG), [key, f"{key}:logs"], args))

    async def update_progress(self, job: Job, value: Any) -> None:
        """Source: updateProgress-3.lua. Raises ``BrokerError``; ``TypeError`` or ``ValueError`` for no JSON."""
        keys = [self._key_prefix + job.id, f"{self._key_prefix}events", f"{self._key_prefix}meta"]
        _checked(job, await self._link.call(UPDATE_PROGRESS, keys, [job.id, encode_json(value)]) or 0)

    async def extend_lease(self, job: Job) -> None:
        """Source: extendLock-2.lua. Raises ``LeaseLostError`` or ``BrokerError``."""
        if int(await self._scripts.extendLock(job.id, job.token, self._config.lock_duration)) != 1:
            raise LeaseLostError(f"the lease of job {job.id} is lost: another worker has the job")

    async def children_values(self, job: Job) -> dict[str, Any]:
        """The hash ``<id>:processed``, whose values are JSON. Raises ``BrokerError``."""
        flat = await self._link.execute("HGETALL", f"{self._key_prefix}{job.id}:processed")
        return {exact_text(key): json.loads(value) for key, value in pairs_of(flat).items()}

    async def children_failures(self, job: Job) -> dict[str, str]:
        """The hash ``<id>:failed``, whose values are reasons. Raises ``BrokerError``."""
        flat = await self._link.execute("HGETALL", f"{self._key_prefix}{job.id}:failed")
        return {exact_text(key): value.decode(errors="replace") for key, value in pairs_of(flat).items()}


def _checked(job: Job, reply: Any) -> int:
    if int(reply) < 0:
        raise BrokerError(f"job {job.id} does not exist any more")
    return int(reply)

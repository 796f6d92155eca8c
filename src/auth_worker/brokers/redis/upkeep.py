"""The regular upkeep of a queue in Redis, which any of its workers may do, on the watch loop's connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from auth_worker.brokers.redis.cancellations import Cancellations
from auth_worker.brokers.redis.dead_letters import DeadLetters, DeadLetterWriters
from auth_worker.brokers.redis.outcome_commands import OutcomeCommands
from auth_worker.brokers.redis.reconciliation import Reconciliation
from auth_worker.brokers.redis.schedulers import Schedulers
from auth_worker.brokers.redis.scripts.loader import builders, read_all_scripts, script, take_call
from auth_worker.brokers.redis.text_codec import exact_text
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.keys import key_prefix
from auth_worker.core.run import Phase, Run

WAITING = "auth-worker-waiting"
"""The set of active jobs of a queue that wait beside a suspect, in whatever process, and have not begun."""


class RedisUpkeep:
    """A ``QueueUpkeep`` of the queue that the worker ``name`` works; ``letters`` write its dead letters."""

    def __init__(
        self,
        link: Link,
        commands: OutcomeCommands,
        *,
        queue: str,
        config: WorkerConfig,
        settings: Settings,
        name: str,
        letters: DeadLetterWriters,
    ) -> None:
        prefix = settings.prefix
        self._link = link
        self._commands = commands
        self._config = config
        self._cancellations = Cancellations(link, prefix, queue)
        self._scripts: Any = builders(prefix, queue, link.call)
        read_all_scripts()
        self._recover = script("moveStalledJobsToWait", "not charged")
        self._taken: Any = builders(prefix, queue, take_call)
        self._waiting = f"{key_prefix(prefix, queue)}{WAITING}"
        self._schedulers = Schedulers(link, prefix, queue)
        self._reconciliation = Reconciliation(link, prefix, queue, letters, config, name)
        self._dead_letters = [DeadLetters(link, prefix, each) for each in letters.queues]

    @property
    def is_up(self) -> bool:
        """As in ``QueueUpkeep``."""
        return self._link.is_up

    async def wait_up(self) -> None:
        """As in ``QueueUpkeep``."""
        await self._link.wait_up()

    async def extend_leases(self, runs: Sequence[Run]) -> set[str]:
        """As in ``QueueUpkeep``. Source: extendLocks-1.lua."""
        ids, tokens = [run.job.id for run in runs], [run.token for run in runs]
        refused = await self._scripts.extendJobLocks(ids, tokens, self._config.lock_duration)
        return {exact_text(job_id) for job_id in refused}

    async def find_cancelled(self, runs: Sequence[Run]) -> dict[str, str]:
        """As in ``QueueUpkeep``."""
        return await self._cancellations.find_requested([run.job.id for run in runs])

    async def hand_back_now(self, runs: Iterable[Run]) -> None:
        """As in ``QueueUpkeep``. A run that ends after all finds its lease lost."""
        for run in runs:
            command = self._commands.handing_back(run.job.id, run.token, begun=run.phase is not Phase.FETCHED)
            self._link.send(command, lambda reply: None)
        await self._link.execute("PING")  # its reply comes after theirs

    async def recover_stalled(self) -> list[str]:
        """As in ``QueueUpkeep``. Source: moveStalledJobsToWait-9.lua.

        A key in Redis ensures that one of all workers checks per interval. It takes two checks to find a job: the
        first one marks the active jobs, the second one moves the marked ones without a lock. A job that a worker
        had marked as waiting, and never called its consumer for, is charged no stall.
        """
        config = self._config
        _, keys, args = self._taken.moveStalledJobsToWait(config.max_stalled_count, config.stalled_interval)
        ids = await self._link.call(self._recover, [*keys, self._waiting], args)
        return [job_id.decode(errors="replace") for job_id in ids or ()]

    async def revive_schedulers(self) -> tuple[list[str], list[str]]:
        """As in ``QueueUpkeep``."""
        return await self._schedulers.revive()

    async def elect(self, lease_ms: int) -> bool:
        """As in ``QueueUpkeep``. Nobody is elected if the queue has no dead-letter queue."""
        return bool(self._dead_letters) and await self._reconciliation.elect(lease_ms)

    async def reconcile_dead_letters(self) -> int:
        """As in ``QueueUpkeep``."""
        return await self._reconciliation.reconcile() if self._dead_letters else 0

    async def trim_dead_letters(self, keep: int | None, older_than: float | None) -> None:
        """As in ``QueueUpkeep``."""
        for letters in self._dead_letters:
            await letters.purge(keep=keep, older_than=older_than)

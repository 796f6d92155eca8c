"""The worker's side of a queue in Redis, for the work loop: fetches jobs, settles runs, finds lost replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from auth_worker.brokers.redis.cancellations import Cancellations
from auth_worker.brokers.redis.dead_letters import ADD_DEAD_LETTER, DeadLetterWriters, dead_letter_of
from auth_worker.brokers.redis.decode import unsound_fields
from auth_worker.brokers.redis.doorbell import Doorbell
from auth_worker.brokers.redis.job_actions import QueueActions
from auth_worker.brokers.redis.jobs import JobView
from auth_worker.brokers.redis.outcome_commands import OutcomeCommands
from auth_worker.brokers.redis.replies import ReplyReader, refused_children
from auth_worker.brokers.redis.schedulers import Schedulers
from auth_worker.brokers.redis.scripts.frames import frame_scripts
from auth_worker.brokers.redis.scripts.loader import Script, own_script, whole_call
from auth_worker.brokers.redis.text_codec import stored_bytes
from auth_worker.brokers.redis.upkeep import WAITING, RedisUpkeep
from auth_worker.brokers.redis.wire.link import Link
from auth_worker.brokers.redis.wire.resp import pack
from auth_worker.config import Settings, WorkerConfig
from auth_worker.core.clock import now_ms
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.keys import key_prefix
from auth_worker.core.outcome import (
    AwaitChildren,
    Complete,
    Fail,
    HandBack,
    Outcome,
    Postpone,
    Retry,
    Throttle,
)
from auth_worker.core.ports.worker import OnFetched, OnRing, OnSettled, Taken, Unanswered
from auth_worker.core.run import Run
from auth_worker.events import EventBus
from auth_worker.job import Job

DROP_FIELDS = own_script("dropFields", 'return redis.call("HDEL", KEYS[1], unpack(ARGV))', "lock")
RATE_LIMIT_FOREVER = 2**53 - 1
"""The limiter's value that stops the whole queue until the key expires (Node: Number.MAX_SAFE_INTEGER)."""
WAITING_LASTS_MS = 3_600_000
"""How long the marks of waiting jobs are kept after the last one was set."""


def worker_scripts() -> list[Script]:
    """Return the scripts that a worker's connection must have loaded before its first job."""
    return [*frame_scripts(), ADD_DEAD_LETTER]


class RedisWorkerBroker:
    """A ``WorkerBroker``: one queue of a Redis. ``name`` is written into each job as ``processedBy``.

    ``commands`` is the work loop's connection, ``watch_link`` the watch loop's. Made in the work loop.
    """

    def __init__(
        self,
        commands: Link,
        watch_link: Link,
        doorbell: Doorbell,
        *,
        queue: str,
        config: WorkerConfig,
        settings: Settings,
        name: str,
        dead_letter_queue: str | None,
        bus: EventBus,
        subscribe: Callable[[Callable[[], None]], None],
    ) -> None:
        """``subscribe`` registers a function that is called after each reconnect of ``commands``."""
        prefix = settings.prefix
        self._link = commands
        self._doorbell = doorbell
        self._subscribe = subscribe
        self._name = name
        self._letters = DeadLetterWriters(prefix, config, dead_letter_queue)
        self._text_prefix = key_prefix(prefix, queue)
        self._key_prefix = self._text_prefix.encode()
        self._marker = self._key_prefix + b"marker"
        self._waiting = f"{self._text_prefix}{WAITING}"
        self._commands = OutcomeCommands(prefix, queue, config, name, self._letters)
        actions = QueueActions(commands, prefix, queue, config, bus)
        self._reader = ReplyReader(queue, config, max_bytes=settings.max_payload_bytes, actions=actions)
        self._view = JobView(commands, prefix, queue)
        self._schedulers = Schedulers(commands, prefix, queue, lease_s=config.lock_duration / 1000)
        self._lock_duration = config.lock_duration
        self._cancellations = Cancellations(commands, prefix, queue)
        self.upkeep = RedisUpkeep(
            watch_link,
            self._commands,
            queue=queue,
            config=config,
            settings=settings,
            name=name,
            letters=self._letters,
        )
        self.upkeeps = (self.upkeep,)
        self._queue = queue

    @property
    def is_up(self) -> bool:
        """As in ``WorkerBroker``."""
        return self._link.is_up

    @property
    def down_s(self) -> float:
        """As in ``WorkerBroker``."""
        return self._link.down_s

    def on_up(self, callback: Callable[[], None]) -> None:
        """As in ``WorkerBroker``."""
        self._subscribe(callback)

    async def wait_up(self, job: Job) -> None:
        """As in ``WorkerBroker``."""
        await self._link.wait_up()

    async def prepare(self) -> None:
        """Load the scripts again, as after SCRIPT FLUSH. Raises ``BrokerError``."""
        await self._link.load_scripts()

    def watch(self, on_ring: OnRing) -> None:
        """Let the doorbell call ``on_ring`` once when there may be a job."""
        self._doorbell.watch(self._marker, on_ring)

    def unwatch(self) -> None:
        """Leave the queue's markers to other workers."""
        self._doorbell.unwatch(self._marker)

    def fetch(self, token: str, on_fetched: OnFetched) -> None:
        """Take the next job for ``token``. Source: moveToActive-11.lua."""
        read = self._reader.fetched
        self._link.send(self._commands.fetching(token, now_ms()), lambda reply: on_fetched(read(reply, token)))

    def can_fetch_after(self, run: Run, outcome: Outcome) -> bool:
        """As in ``WorkerBroker``: whether the outcome's script fetches too."""
        if type(outcome) is Complete:
            return True
        match outcome:
            case HandBack() | Throttle() | AwaitChildren() | Retry(0):
                return False
        return True

    def settle(
        self,
        run: Run,
        outcome: Outcome,
        now: int,
        dead_letter: DeadLetter | None,
        fetch_next: bool,
        on_settled: OnSettled,
    ) -> None:
        """As in ``WorkerBroker``."""
        read, token = self._reader.settled, run.token
        if type(outcome) is Complete:
            call = self._commands.completing(run, outcome, now, fetch_next)
            self._link.send_call(call, lambda reply: on_settled(read(reply, token)))
            return
        command = self._commands.of(run, outcome, now, dead_letter, fetch_next)
        if isinstance(outcome, Fail) and (unsound := unsound_fields(run.stored)):
            self._drop_fields(run, unsound)
        read_last = self._reader.settled_last
        if dead_letter is not None:
            guard = (self._key_prefix + stored_bytes(run.job.id) + b":lock", token)
            add = self._letters.writer_of(dead_letter).add_command(dead_letter, guard)
            self._link.send_transaction([add, command], lambda reply: on_settled(read_last(reply, token)))
        elif isinstance(outcome, Throttle):
            limit = pack("SET", f"{self._text_prefix}limiter", RATE_LIMIT_FOREVER, "PX", outcome.duration_ms)
            self._link.send_transaction([limit, command], lambda reply: on_settled(read_last(reply, token)))
        else:
            self._link.send(
                command, lambda reply: on_settled(refused_children(read(reply, token), reply, outcome))
            )

    def dead_letter_of(self, run: Run, fail: Fail, now: int, *, readable: bool) -> DeadLetter | None:
        """As in ``WorkerBroker``."""
        writer = self._letters.of(run.job.name, fail.reason_class)
        if writer is None:
            return None
        letter = dead_letter_of(run, fail, now, self._name, queue=self._queue, readable=readable)
        return letter._replace(queue=writer.queue)

    def hand_back(self, job: Job, token: str, on_settled: OnSettled) -> None:
        """As in ``WorkerBroker``."""
        read = self._reader.settled
        self._link.send(
            self._commands.handing_back(job.id, token, begun=False), lambda reply: on_settled(read(reply, token))
        )

    def mark_waiting(self, job: Job) -> None:
        """As in ``WorkerBroker``. The mark is in a set of the queue, which ``RedisUpkeep`` reads."""
        self._link.send(pack("SADD", self._waiting, stored_bytes(job.id)), lambda reply: None)
        self._link.send(pack("PEXPIRE", self._waiting, WAITING_LASTS_MS), lambda reply: None)

    async def mark_begun(self, job: Job) -> None:
        """As in ``WorkerBroker``."""
        await self._link.execute("SREM", self._waiting, stored_bytes(job.id))

    def forget(self, token: str) -> None:
        """As in ``WorkerBroker``."""
        self._commands.forget(token)

    async def find_unanswered(self, tokens: Iterable[str]) -> Unanswered:
        """As in ``WorkerBroker``. These are the active jobs that are locked with one of ``tokens``."""
        wanted = {token.encode(): token for token in tokens}
        ids: list[bytes] = await self._link.execute("LRANGE", f"{self._text_prefix}active", 0, -1)
        if not ids or not wanted:
            return Unanswered([])
        locks = await self._link.execute("MGET", *(self._key_prefix + job_id + b":lock" for job_id in ids))
        found: list[tuple[str, Taken]] = []
        for job_id, lock in zip(ids, locks, strict=True):
            key = self._key_prefix + job_id
            if lock in wanted and await self._link.execute("PEXPIRE", key + b":lock", self._lock_duration):
                flat = await self._link.execute("HGETALL", key)
                token = wanted[lock]
                found.append((token, self._reader.taken(job_id, flat, token)))
        return Unanswered(found)

    async def was_settled(self, run: Run, outcome: Outcome, now: int) -> bool:
        """As in ``WorkerBroker``."""
        key = self._key_prefix + stored_bytes(run.job.id)
        finished_on, made = await self._link.execute("HMGET", key, "finishedOn", "atm")
        match outcome:
            case Complete() | Fail():
                if finished_on is not None or made is not None:
                    return bool(finished_on == b"%d" % now)
                keep = run.policy.keep_complete if isinstance(outcome, Complete) else run.policy.keep_fail
                return keep.get("count") == 0 and not await self._link.execute("EXISTS", key)
            case Retry():
                return int(made or 0) >= run.job.attempt
            case Postpone():
                return await self._view.state(run.job.id) == "delayed"
            case AwaitChildren():
                return await self._view.state(run.job.id) == "waiting-children"
            case HandBack() | Throttle():
                return await self._view.state(run.job.id) in ("wait", "prioritized")
        return False

    async def cancel(self, job_id: str, reason: str, partition: int) -> None:
        """As in ``WorkerBroker``."""
        await self._cancellations.cancel(job_id, reason)

    async def advance_scheduler(self, run: Run) -> None:
        """As in ``WorkerBroker``."""
        await self._schedulers.advance(run)

    def _drop_fields(self, run: Run, fields: list[bytes]) -> None:
        key = self._key_prefix + stored_bytes(run.job.id)
        call = (DROP_FIELDS, [key, key + b":lock"], [*fields, run.token])
        self._link.send(whole_call(call), lambda reply: None)

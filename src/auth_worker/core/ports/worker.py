"""The worker's port to a broker: what the engine needs.

It carries values, never bytes, return codes, key names or script names. What a broker keeps of a job beside them
(``stored``) is opaque to the engine, which hands it back unchanged.

The type of an error says what it means. After ``BrokerUnavailableError`` the call may or may not have been
executed; after ``BrokerBusyError`` and ``BrokerUnpreparedError`` it was not; any other ``BrokerError`` may have
stopped it half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.outcome import Fail, Outcome, Refusal
from auth_worker.core.policy import JobPolicy
from auth_worker.core.run import Run
from auth_worker.errors import BrokerError
from auth_worker.job import Job


@dataclass(slots=True)
class Fetched:
    """A job that is locked for us.

    ``wait_ms``: how long it was ready before its first run; 0 for a retry. ``scheduler_id``: the job scheduler
    that made it, else empty. ``deferred_failure``: why the job must fail without another run, if it must: it
    stalled too often, was cancelled, or has a failed child.
    """

    job: Job
    policy: JobPolicy
    stored: Any
    wait_ms: float
    scheduler_id: str
    deferred_failure: str | None


class Unreadable(NamedTuple):
    """A job that is locked for us and cannot be decoded: ``job`` is what is known of it, ``reason`` why.

    ``is_orphan``: there is no job, only its id.
    """

    job: Job
    policy: JobPolicy
    stored: Any
    wait_ms: float
    scheduler_id: str
    reason: str
    is_orphan: bool


class Nothing(NamedTuple):
    """No job now.

    The queue is paused for ``limited_ms``; the next delayed job is due at ``next_due`` (epoch ms).
    """

    limited_ms: int
    next_due: float


LONGEST_PAUSE = 30.0
"""The longest pause (s) under a rate limit, which may be lifted meanwhile. As in Node."""
Taken = Fetched | Unreadable
"""A job that is locked for us."""


@dataclass(slots=True)
class Settled:
    """The reply to a settle: why nothing was written, if so, and the job that was fetched with it, if any."""

    refusal: Refusal | None
    next: Taken | Nothing | None


class Unanswered(NamedTuple):
    """The jobs ``found``, each with its token, and the tokens ``unsearched``, since their partition is away."""

    found: Sequence[tuple[str, Taken]]
    unsearched: Set[str] = frozenset()


OnFetched = Callable[[Taken | Nothing | BrokerError], None]
OnSettled = Callable[[Settled | BrokerError], None]
OnRing = Callable[[float], None]
"""Called when the queue should be looked at: with 0, or with the time (epoch ms) a delayed job is due."""


class WorkerBroker(Protocol):
    """One queue, as its worker sees it from the work loop. It may have partitions, each with ids of its own.

    Every job takes ``fetch`` and ``settle``: they send and return, and the reply comes to a callback. The other
    calls are rare and await their reply.
    """

    @property
    def upkeeps(self) -> Sequence[QueueUpkeep]:
        """The parts of the same queue for the watch loop, one for each partition, by number."""

    @property
    def is_up(self) -> bool:
        """Whether calls can be sent now, to one partition at least. Any thread may read it."""

    @property
    def down_s(self) -> float:
        """How long (s) they cannot be sent, to whatever partition; else 0. Any thread may read it."""

    def on_up(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when lost replies can be looked for: after a reconnect, or where others are up."""

    async def wait_up(self, job: Job) -> None:
        """Return once calls about ``job`` can be sent."""

    async def prepare(self) -> None:
        """Restore what the broker has forgotten, as ``BrokerUnpreparedError`` said. Raises ``BrokerError``."""

    def watch(self, on_ring: OnRing) -> None:
        """Call ``on_ring`` once when there may be a job."""

    def unwatch(self) -> None:
        """Cancel ``watch``."""

    def fetch(self, token: str, on_fetched: OnFetched) -> None:
        """Take the next job and lock it with ``token``."""

    def can_fetch_after(self, run: Run, outcome: Outcome) -> bool:
        """Whether ``settle`` of ``run`` with this outcome can, and should, also take the next job."""

    def settle(
        self,
        run: Run,
        outcome: Outcome,
        now: int,
        dead_letter: DeadLetter | None,
        fetch_next: bool,
        on_settled: OnSettled,
    ) -> None:
        """Write ``outcome`` at ``now`` (epoch ms), with ``dead_letter`` in the same atomic step if there is one.

        ``fetch_next``: also take the next job, with the run's token, if ``can_fetch_after`` permits it. Raises
        whatever makes an outcome unwritable; then nothing was sent.
        """

    def dead_letter_of(self, run: Run, fail: Fail, now: int, *, readable: bool) -> DeadLetter | None:
        """Build the dead letter of a job that fails at ``now`` (epoch ms); None if the queue has none.

        It holds the stored data, not what the consumer made of it; if that is not ``readable``, as raw bytes.
        Raises ``ValueError`` or ``RecursionError`` if it cannot be read.
        """

    def hand_back(self, job: Job, token: str, on_settled: OnSettled) -> None:
        """Put a job that has not started back to the front of the queue. Neither an attempt nor a stall counts."""

    def mark_waiting(self, job: Job) -> None:
        """Mark a job that we hold and have not begun: if this process dies, the job is charged no stall."""

    async def mark_begun(self, job: Job) -> None:
        """Take back ``mark_waiting`` before the job begins. Raises ``BrokerError``."""

    def forget(self, token: str) -> None:
        """Forget what is kept for a token that will not be used again."""

    async def find_unanswered(self, tokens: Iterable[str]) -> Unanswered:
        """Find the jobs that ``tokens`` hold since a reply was lost, and renew their locks.

        Raises ``BrokerError``.
        """

    async def was_settled(self, run: Run, outcome: Outcome, now: int) -> bool:
        """Whether an earlier settle at ``now``, whose reply was lost, was executed. Raises ``BrokerError``."""

    async def cancel(self, job_id: str, reason: str, partition: int) -> None:
        """Cancel a job of this queue, whatever its run did. Raises ``BrokerError``."""

    async def advance_scheduler(self, run: Run) -> None:
        """Create the iteration after the run's job, if its scheduler still exists and has not ended.

        Retried after a reconnect, as long as the run's lease can last. Raises ``BrokerError``, and
        ``ConfigurationError`` if the scheduler cannot be read.
        """


class QueueUpkeep(Protocol):
    """The regular upkeep of a queue or a partition, which any of its workers may do, from the watch loop.

    Raises ``BrokerError``.
    """

    @property
    def is_up(self) -> bool:
        """Whether calls can be sent now."""

    async def wait_up(self) -> None:
        """Return once calls can be sent."""

    async def extend_leases(self, runs: Sequence[Run]) -> set[str]:
        """Renew the locks of ``runs``. Returns the ids of the jobs whose lock is no longer ours."""

    async def find_cancelled(self, runs: Sequence[Run]) -> dict[str, str]:
        """Return the reasons, by id, of the jobs of ``runs`` that somebody has asked to cancel."""

    async def hand_back_now(self, runs: Iterable[Run]) -> None:
        """Put the jobs of ``runs`` back to the front of the queue, because the work loop is blocked."""

    async def recover_stalled(self) -> list[str]:
        """Put jobs whose worker has died back to wait, in one worker per interval. Returns their ids."""

    async def revive_schedulers(self) -> tuple[list[str], list[str]]:
        """Revive job schedulers that have lost their next iteration.

        Returns their ids, and what is wrong with each that cannot be read.
        """

    async def elect(self, lease_ms: int) -> bool:
        """Whether this process keeps the dead letters for the next ``lease_ms``. One of all processes does."""

    async def reconcile_dead_letters(self) -> int:
        """Add the dead letters of jobs that failed elsewhere. Returns how many."""

    async def trim_dead_letters(self, keep: int | None, older_than: float | None) -> None:
        """Remove those beyond the newest ``keep``, and those older than ``older_than`` s."""

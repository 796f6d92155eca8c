"""Plans a bulk operation: finds the jobs or dead letters that it applies to, and prepares its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, assert_never

from auth_worker.admin.bulk import Steps, one_after_another
from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import DeadLetterSelection, JobSelection
from auth_worker.core.camel_model import CamelModel
from auth_worker.errors import ConfigurationError

JobAction = Literal["retry", "promote", "remove", "cancel", "dead-letter"]
DeadLetterAction = Literal["redrive", "purge"]
DEFAULT_STATES = {"retry": "failed", "promote": "delayed"}
"""The state of the jobs if none is named."""


class ChangeJobs(CamelModel):
    """Retry, promote, remove, cancel or dead-letter jobs, at most ``rate`` a second.

    ``reason`` is why they are cancelled or dead-lettered, ``to`` the dead-letter queue, if there may be several.
    """

    action: JobAction
    which: JobSelection
    rate: float | None = None
    reason: str = ""
    to: str = ""


class ChangeDeadLetters(CamelModel):
    """Redrive or purge dead letters, at most ``rate`` a second."""

    action: DeadLetterAction
    which: DeadLetterSelection
    rate: float | None = None


class DrainQueue(CamelModel):
    """Remove all waiting jobs of ``queue``, and with ``delayed`` the delayed ones."""

    queue: str
    delayed: bool = False
    rate: float | None = None


class CleanQueue(CamelModel):
    """Remove the completed or failed jobs of ``queue`` that finished more than ``older_than`` s ago."""

    queue: str
    state: str
    older_than: float
    rate: float | None = None


Bulk = ChangeJobs | ChangeDeadLetters | DrainQueue | CleanQueue


class Plan(NamedTuple):
    """How many jobs or dead letters match now, and the ``steps``, which run as they are iterated over."""

    total: int
    steps: Steps


async def plan_of(asked: Bulk, operations: Operations) -> Plan:
    """Plan an operation on a queue that exists.

    Raises ``NotFoundError`` for a dead letter that does not, ``ConfigurationError`` for an unknown state, and
    ``BrokerError``.
    """
    match asked:
        case ChangeJobs():
            return await _of_jobs(asked, operations)
        case ChangeDeadLetters():
            return await _of_dead_letters(asked, operations)
        case DrainQueue():
            total = await operations.jobs.count_waiting(asked.queue, delayed=asked.delayed)
            return Plan(total, operations.jobs.drain(asked.queue, asked.rate, delayed=asked.delayed))
        case CleanQueue():
            steps = operations.jobs.clean(asked.queue, asked.state, asked.older_than, asked.rate)
            return Plan(await operations.jobs.count_older(asked.queue, asked.state, asked.older_than), steps)
    assert_never(asked)


async def _of_jobs(asked: ChangeJobs, operations: Operations) -> Plan:
    which = asked.which
    ids: Sequence[str] | None = which.ids
    if ids is None:
        state = which.state or DEFAULT_STATES.get(asked.action)
        if state is None:
            raise ConfigurationError(f"name the state of the jobs to {asked.action}")
        ids = await operations.jobs.select(which.queue, state, which.filter)
    many: dict[str, Callable[[str, Sequence[str], float | None], Steps]] = {
        "retry": operations.jobs.retry_many,
        "promote": operations.jobs.promote_many,
        "remove": operations.jobs.remove_many,
        "cancel": partial(operations.jobs.cancel_many, reason=asked.reason),
    }
    if asked.action == "dead-letter":
        to = await operations.jobs.dead_letter_queue(which.queue, asked.to)
        many[asked.action] = partial(operations.jobs.dead_letter_many, to=to, reason=asked.reason)
    return Plan(len(ids), many[asked.action](which.queue, ids, asked.rate))


async def _of_dead_letters(asked: ChangeDeadLetters, operations: Operations) -> Plan:
    chosen = await operations.dead.choose(asked.which)
    act = operations.dead.purge if asked.action == "purge" else operations.dead.redrive_many
    steps = one_after_another([act(name, ids, asked.rate) for name, ids in chosen.items()])
    return Plan(sum(map(len, chosen.values())), steps)

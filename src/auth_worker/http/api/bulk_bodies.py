"""The bodies of requests to the API for bulk operations."""

from __future__ import annotations

import abc
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from auth_worker.admin import plan, selection
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.http.api.bodies import Body
from auth_worker.http.api.parameters import (
    Age,
    FinishedState,
    Id,
    Name,
    Rate,
    Reason,
    State,
    Text,
    Where,
    Whole,
    conditions_of,
)

MOST_IDS = 10_000


class Bulk(Body, abc.ABC):
    """A bulk operation, at most ``rate`` a second. A dry run only counts the jobs that it would change."""

    dry_run: bool = False
    rate: Rate | None = None

    @abc.abstractmethod
    def asked(self) -> plan.Bulk:
        """Return the operation as ``admin`` takes it."""


class Selection(Bulk):
    """What to change: those with ``ids``, those that match a filter, or with ``all`` every one."""

    ids: list[Id] | None = Field(default=None, min_length=1, max_length=MOST_IDS)
    all: bool = False

    @abc.abstractmethod
    def which(self) -> selection.Selection:
        """Return the selection as ``admin`` takes it."""

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.which().fault is not None:
            raise ValueError("give ids, a filter, or all")
        return self


class JobSelection(Selection):
    """Jobs of a queue. ``id``, ``name`` and ``worker`` may contain ``*``; ages are in s.

    ``error_group`` and ``frame`` are those of a group of failures.
    """

    action: plan.JobAction
    queue: Name
    id: Text | None = None
    name: Text | None = None
    error: Text | None = None
    error_group: Text | None = None
    frame: Text | None = None
    worker: Text | None = None
    where: list[Where] = Field(default_factory=list, max_length=20)
    older_than: Age | None = None
    newer_than: Age | None = None

    def asked(self) -> plan.Bulk:
        """Return the operation as ``admin`` takes it."""
        return plan.ChangeJobs(action=self.action, which=self.which(), rate=self.rate)

    def which(self) -> selection.JobSelection:
        """Return the selection as ``admin`` takes it."""
        return selection.JobSelection(
            queue=self.queue,
            ids=None if self.ids is None else tuple(self.ids),
            every=self.all,
            state=self.chosen_state(),
            filter=selection.JobFilter(
                id=self.id,
                name=self.name,
                text=self.error,
                error_group=self.error_group,
                frame=self.frame,
                worker=self.worker,
                where=conditions_of(self.where),
                older_than=self.older_than,
                newer_than=self.newer_than,
            ),
        )

    def chosen_state(self) -> str | None:
        """Return the state of the jobs; None means the default state of the action."""
        return None


class RetryJobs(JobSelection):
    """Let failed (or completed) jobs run again, with fresh attempts."""

    action: Literal["retry"]
    state: FinishedState = "failed"

    def chosen_state(self) -> str | None:
        """Return the state of the jobs; None only if there are ids."""
        return self.state


class PromoteJobs(JobSelection):
    """Let delayed jobs run now."""

    action: Literal["promote"]


class JobsOfAState(JobSelection):
    """Jobs of a ``state``, which is required unless there are ids."""

    state: State | None = None

    def chosen_state(self) -> str | None:
        """Return the state of the jobs; None only if there are ids."""
        return self.state

    @model_validator(mode="after")
    def _says_the_state(self) -> Self:
        if self.ids is None and self.state is None:
            raise ValueError(f"name the state of the jobs to {self.action}")
        return self


class RemoveJobs(JobsOfAState):
    """Remove jobs; without ids, those of a ``state``. A job that a worker is running is not removed."""

    action: Literal["remove"]


class CancelJobs(JobsOfAState):
    """Cancel jobs; without ids, those of a ``state``. Waiting jobs fail at once, running ones are stopped."""

    action: Literal["cancel"]
    reason: Text = ""

    def asked(self) -> plan.Bulk:
        """Return the operation as ``admin`` takes it."""
        return plan.ChangeJobs(action=self.action, which=self.which(), rate=self.rate, reason=self.reason)


class DeadLetterJobs(JobsOfAState):
    """Move jobs to the dead-letter queue ``to``; without ids, those of a ``state``. Running jobs are skipped."""

    action: Literal["dead-letter"]
    to: Name | None = None
    reason: Text = ""

    def asked(self) -> plan.Bulk:
        """Return the operation as ``admin`` takes it."""
        return plan.ChangeJobs(
            action=self.action, which=self.which(), rate=self.rate, reason=self.reason, to=self.to or ""
        )


class DrainQueue(Bulk):
    """Remove all waiting jobs, and with ``delayed`` the delayed ones."""

    action: Literal["drain"]
    queue: Name
    delayed: bool = False

    def asked(self) -> plan.Bulk:
        """Return the operation as ``admin`` takes it."""
        return plan.DrainQueue(queue=self.queue, delayed=self.delayed, rate=self.rate)


class CleanQueue(Bulk):
    """Remove the jobs of a state that finished more than ``older_than`` s ago."""

    action: Literal["clean"]
    queue: Name
    state: FinishedState = "completed"
    older_than: Age

    def asked(self) -> plan.Bulk:
        """Return the operation as ``admin`` takes it."""
        return plan.CleanQueue(queue=self.queue, state=self.state, older_than=self.older_than, rate=self.rate)


class DeadLetterSelection(Selection):
    """Dead letters of the dead-letter queue ``queue``, or of all. ``from`` is the queue of their jobs."""

    action: Literal["redrive", "purge"]
    queue: Name | None = None
    origin: Name | None = Field(default=None, alias="from")
    job_id: Id | None = None
    reason: Reason | None = None
    error: Text | None = None
    name: Text | None = None
    where: list[Where] = Field(default_factory=list, max_length=20)
    older_than: Age | None = None
    newer_than: Age | None = None

    def asked(self) -> plan.Bulk:
        """Return the operation as ``admin`` takes it."""
        return plan.ChangeDeadLetters(action=self.action, which=self.which(), rate=self.rate)

    def which(self) -> selection.DeadLetterSelection:
        """Return the selection as ``admin`` takes it."""
        return selection.DeadLetterSelection(
            queue=self.queue,
            ids=None if self.ids is None else tuple(self.ids),
            every=self.all,
            keep=self.kept(),
            filter=selection.DeadLetterFilter(
                queue=self.origin,
                job_id=self.job_id,
                reason_class=None if self.reason is None else str(self.reason),
                text=self.error,
                name=self.name,
                where=conditions_of(self.where),
                older_than=self.older_than,
                newer_than=self.newer_than,
            ),
        )

    def kept(self) -> int | None:
        """Return how many of the newest dead letters of each queue are left out."""
        return None


class RedriveDeadLetters(DeadLetterSelection):
    """Let the jobs of dead letters run again, with fresh attempts."""

    action: Literal["redrive"]


class PurgeDeadLetters(DeadLetterSelection):
    """Remove dead letters, except for the newest ``keep`` of each dead-letter queue."""

    action: Literal["purge"]
    keep: Whole | None = Field(default=None, ge=0, le=MAX_NUMBER)

    def kept(self) -> int | None:
        """Return how many of the newest dead letters of each queue are left out."""
        return self.keep


AnyBulk = Annotated[
    RetryJobs
    | PromoteJobs
    | RemoveJobs
    | CancelJobs
    | DeadLetterJobs
    | DrainQueue
    | CleanQueue
    | RedriveDeadLetters
    | PurgeDeadLetters,
    Field(discriminator="action"),
]

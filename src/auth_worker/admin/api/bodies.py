"""What is sent to the API: a new job, a change to one, and each bulk operation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from auth_worker.admin.api.parameters import Age, Id, Name, Plain, State, Text, Where, conditions_of
from auth_worker.admin.search import JobFilter, LetterFilter
from auth_worker.backoff import LONGEST_DELAY
from auth_worker.coercion import MAX_NUMBER
from auth_worker.outcome import ReasonClass
from auth_worker.queue import MAX_PRIORITY, JobOptions

MOST_IDS = 10_000


class Body(BaseModel):
    """camelCase; what it does not know is refused, naming it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class NewJob(Body):
    """A job to add. ``data`` is any JSON."""

    name: Text
    data: Any = None
    opts: JobOptions = JobOptions()


class JobChange(Body):
    """Another ``priority`` (1 goes first, 0: none) or, for a delayed job, ``delay`` (ms from now)."""

    priority: Annotated[int, Plain] | None = Field(default=None, ge=0, le=MAX_PRIORITY)
    delay: Annotated[int, Plain] | None = Field(default=None, ge=0, le=LONGEST_DELAY)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.priority is None and self.delay is None:
            raise ValueError("say what to change: priority or delay")
        return self


class Bulk(Body):
    """A bulk operation. A dry run finds out how many are meant, and does nothing."""

    dry_run: bool = False


class Selection(Bulk):
    """Which ones: ``ids``, or those a filter finds, or with ``all`` every one; at most ``rate`` a second."""

    ids: list[Id] | None = Field(default=None, min_length=1, max_length=MOST_IDS)
    all: bool = False
    rate: Annotated[float, Plain] | None = Field(default=None, gt=0, le=1e6, allow_inf_nan=False)

    @property
    def selective(self) -> bool:
        """Whether a filter says which ones."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if (self.ids is not None) == (self.selective or self.all):
            raise ValueError("say which ones: ids, or a filter, or all")
        return self


class JobSelection(Selection):
    """Which jobs of a queue. ``id`` and ``name`` may have ``*`` in them; ``older_than`` is s."""

    queue: Name
    id: Text | None = None
    name: Text | None = None
    error: Text | None = None
    where: list[Where] = Field(default_factory=list, max_length=20)
    older_than: Age | None = None

    @property
    def filter(self) -> JobFilter:
        """As the operations take it."""
        return JobFilter(
            id=self.id,
            name=self.name,
            text=self.error,
            where=conditions_of(self.where),
            older_than=self.older_than,
        )

    @property
    def selective(self) -> bool:
        """Whether a filter says which ones."""
        return bool(self.where) or any(
            value is not None for value in (self.id, self.name, self.error, self.older_than)
        )


class RetryJobs(JobSelection):
    """Let failed jobs (or completed ones) run again, with fresh attempts."""

    action: Literal["retry"]
    state: Literal["failed", "completed"] = "failed"


class PromoteJobs(JobSelection):
    """Let delayed jobs run now."""

    action: Literal["promote"]


class RemoveJobs(JobSelection):
    """Remove jobs, of a ``state`` where no ids are given. A job that a worker has is not removed."""

    action: Literal["remove"]
    state: State | None = None

    @model_validator(mode="after")
    def _says_the_state(self) -> Self:
        if self.ids is None and self.state is None:
            raise ValueError("say the state of the jobs to remove")
        return self


class DrainQueue(Bulk):
    """Remove all jobs that wait, with ``delayed`` also what waits for its time."""

    action: Literal["drain"]
    queue: Name
    delayed: bool = False


class CleanQueue(Bulk):
    """Remove the jobs of a state that finished more than ``older_than`` s ago."""

    action: Literal["clean"]
    queue: Name
    state: Literal["completed", "failed"] = "completed"
    older_than: Age


class LetterSelection(Selection):
    """Which letters, of the dead-letter queue ``queue`` or of all. ``from`` is where the job came from."""

    queue: Name | None = None
    origin: Name | None = Field(default=None, alias="from")
    job_id: Id | None = None
    reason: ReasonClass | None = None
    error: Text | None = None
    name: Text | None = None
    where: list[Where] = Field(default_factory=list, max_length=20)
    older_than: Age | None = None

    @property
    def filter(self) -> LetterFilter:
        """As the operations take it."""
        return LetterFilter(
            queue=self.origin,
            job_id=self.job_id,
            reason_class=None if self.reason is None else str(self.reason),
            text=self.error,
            name=self.name,
            where=conditions_of(self.where),
            older_than=self.older_than,
        )

    @property
    def selective(self) -> bool:
        """Whether a filter says which ones."""
        return self.filter.asks


class RedriveLetters(LetterSelection):
    """Let the jobs of dead letters run again, with fresh attempts."""

    action: Literal["redrive"]


class PurgeLetters(LetterSelection):
    """Throw dead letters away, but for the newest ``keep`` of each dead-letter queue."""

    action: Literal["purge"]
    keep: Annotated[int, Plain] | None = Field(default=None, ge=0, le=MAX_NUMBER)

    @property
    def selective(self) -> bool:
        """Whether a filter, or ``keep``, says which ones."""
        return super().selective or self.keep is not None


AnyBulk = Annotated[
    RetryJobs | PromoteJobs | RemoveJobs | DrainQueue | CleanQueue | RedriveLetters | PurgeLetters,
    Field(discriminator="action"),
]

"""What a processor reports of itself: its metrics and its health, in the reference's words.

``model_dump(by_alias=True)`` of each gives the JSON of the reference, plus fields.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from auth_worker.lifecycle import State


class Report(BaseModel):
    """Immutable; snake_case in Python, camelCase in JSON."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, alias_generator=to_camel)


class Metrics(Report):
    """What a processor has done since it started. ``failed`` counts jobs failed for good, not attempts.

    ``average_processing_time`` is ms; rates are percent of the processed jobs.
    """

    processed: int = 0
    completed: int = 0
    failed: int = 0
    active: int = 0
    average_processing_time: float = 0
    success_rate: float = 0
    failure_rate: float = 0
    retried: int = 0
    delayed: int = 0
    handed_back: int = 0
    leases_lost: int = 0
    dead_lettered: int = 0


class QueueMetrics(Report):
    """The metrics of one queue's processor."""

    queue_name: str
    metrics: Metrics


class ProcessorHealth(Report):
    """One processor. ``reasons`` says why it is not healthy, one sentence each.

    ``suspects``: so many jobs recovered from dead workers wait until they can run alone; no reason by itself.
    """

    healthy: bool
    queue_name: str
    is_running: bool
    is_paused: bool
    metrics: Metrics
    suspects: int = 0
    reasons: list[str] = Field(default_factory=list)


class ServiceHealth(Report):
    """The whole service. ``database`` is there when the service was given a database service."""

    healthy: bool
    processors: list[ProcessorHealth]
    database: dict[str, Any] | None = None
    reasons: list[str] = Field(default_factory=list)

    @classmethod
    def of(cls, state: State, processors: list[ProcessorHealth], database: dict[str, Any] | None) -> Self:
        """The report on a service in ``state``, with what its parts report."""
        reasons = [] if state is State.RUNNING else [f"the service is {state}"]
        reasons += [f"{each.queue_name}: {reason}" for each in processors for reason in each.reasons]
        if database is not None and not database["healthy"]:
            reasons.append(f"database: {database.get('reason', 'not healthy')}")
        return cls(healthy=not reasons, processors=processors, database=database, reasons=reasons)


class Tally:
    """The counters behind ``Metrics``; only the work loop writes them."""

    __slots__ = (
        "completed",
        "dead_lettered",
        "delayed",
        "failed",
        "handed_back",
        "leases_lost",
        "retried",
        "total_ms",
    )

    def __init__(self) -> None:
        self.completed = self.failed = self.retried = self.delayed = 0
        self.handed_back = self.leases_lost = self.dead_lettered = 0
        self.total_ms = 0.0

    @property
    def unfinished(self) -> int:
        """How many runs ended without an outcome of their own."""
        return self.handed_back + self.leases_lost

    def metrics(self, active: int) -> Metrics:
        """The counters as they are now."""
        processed = self.completed + self.failed
        return Metrics(
            processed=processed,
            completed=self.completed,
            failed=self.failed,
            active=active,
            average_processing_time=round(self.total_ms / processed, 3) if processed else 0,
            success_rate=round(100 * self.completed / processed, 2) if processed else 0,
            failure_rate=round(100 * self.failed / processed, 2) if processed else 0,
            retried=self.retried,
            delayed=self.delayed,
            handed_back=self.handed_back,
            leases_lost=self.leases_lost,
            dead_lettered=self.dead_lettered,
        )

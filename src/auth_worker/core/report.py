"""The reports of a processor and of the service: metrics and health, with the fields of the reference.

``model_dump(by_alias=True)`` of each returns the reference's JSON, plus fields of our own.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field

from auth_worker.core.camel_model import CamelModel
from auth_worker.core.lifecycle import ServiceState

ACL_REMEDY = "give the user what `auth-worker doctor --acl` prints"


class Finding(CamelModel):
    """One result of a doctor's check. ``remedy`` says what to do, if anything."""

    level: Literal["ok", "warn", "fail"]
    name: str
    detail: str
    remedy: str = ""

    @classmethod
    def ok(cls, name: str, detail: str) -> Self:
        """Report that a check has passed."""
        return cls(level="ok", name=name, detail=detail)

    @classmethod
    def warn(cls, name: str, detail: str, remedy: str = "") -> Self:
        """Report something that deserves attention."""
        return cls(level="warn", name=name, detail=detail, remedy=remedy)

    @classmethod
    def fail(cls, name: str, detail: str, remedy: str) -> Self:
        """Report a fault that loses or delays jobs."""
        return cls(level="fail", name=name, detail=detail, remedy=remedy)


class Metrics(CamelModel):
    """What a processor has done since it started. ``failed`` counts jobs that failed for good, not attempts.

    ``average_processing_time`` is in ms; rates are percentages of the processed jobs.
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


class QueueMetrics(CamelModel):
    """The metrics of one queue's processor."""

    queue_name: str
    metrics: Metrics


class ProcessorHealth(CamelModel):
    """The health of one processor. ``reasons`` say why it is not healthy.

    ``suspects`` is the number of jobs recovered from dead workers that wait until they can run alone. That alone
    is not unhealthy.
    """

    healthy: bool
    queue_name: str
    is_running: bool
    is_paused: bool
    metrics: Metrics
    suspects: int = 0
    reasons: list[str] = Field(default_factory=list)


class ServiceHealth(CamelModel):
    """The health of the service. ``database`` is set if the service was given a database service."""

    healthy: bool
    processors: list[ProcessorHealth]
    database: dict[str, Any] | None = None
    reasons: list[str] = Field(default_factory=list)

    @classmethod
    def of(cls, state: ServiceState, processors: list[ProcessorHealth], database: dict[str, Any] | None) -> Self:
        """Build the report of a service in ``state`` from the reports of its parts."""
        reasons = [] if state is ServiceState.RUNNING else [f"the service is {state}"]
        reasons += [f"{each.queue_name}: {reason}" for each in processors for reason in each.reasons]
        if database is not None and not database["healthy"]:
            reasons.append(f"database: {database.get('reason', 'not healthy')}")
        return cls(healthy=not reasons, processors=processors, database=database, reasons=reasons)

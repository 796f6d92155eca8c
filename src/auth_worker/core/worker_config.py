"""``WorkerConfig`` and its parts: how a queue is worked. All times are milliseconds, as in BullMQ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from auth_worker.core.backoff import LONGEST_DELAY
from auth_worker.core.coercion import MAX_NUMBER, plain_number
from auth_worker.core.config_errors import configuration_error
from auth_worker.core.outcome import ReasonClass
from auth_worker.errors import ConfigurationError

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Whole = Annotated[int, BeforeValidator(plain_number)]
Real = Annotated[float, BeforeValidator(plain_number)]
"""Numbers of settings and options. pydantic alone accepts whatever Python's ``int`` and ``float`` accept."""


class FrozenModel(BaseModel):
    """A config: immutable, strict about unknown keys, snake_case in Python and camelCase in JSON."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=to_camel,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class Backoff(FrozenModel):
    """How long a failed job waits before its next attempt (ms), as BullMQ's ``backoff`` option."""

    type: Literal["fixed", "exponential"] = "exponential"
    delay: Whole = Field(default=1000, ge=0, le=LONGEST_DELAY)
    jitter: Real = Field(default=0, ge=0, le=1)


class Retention(FrozenModel):
    """How many finished jobs stay in Redis: the newest ``count``, or those younger than ``age`` seconds.

    A ``count`` of -1 keeps all, 0 none. ``limit`` bounds how many are removed at a time.
    """

    count: Whole | None = Field(default=None, ge=-1, le=MAX_NUMBER)
    age: Whole | None = Field(default=None, ge=0, le=MAX_NUMBER)
    limit: Whole | None = Field(default=None, ge=1, le=MAX_NUMBER)


def _retention(value: Any) -> Any:
    if isinstance(value, bool):
        return Retention(count=0 if value else -1)
    return {"count": value} if isinstance(value, int) else value


Retained = Annotated[Retention, BeforeValidator(_retention)]
"""A ``Retention``; a number stands for its ``count``, True for 0 and False for -1, as in a job's options."""


def _pairs(value: Any) -> Any:
    return tuple(sorted(value.items(), key=repr)) if isinstance(value, Mapping) else value


class Limiter(FrozenModel):
    """Limits the queue to ``max`` jobs every ``duration`` ms, over all its workers."""

    max: Whole = Field(ge=1, le=MAX_NUMBER)
    duration: Whole = Field(ge=1, le=LONGEST_DELAY)


class QueueMetricsConfig(FrozenModel):
    """BullMQ's own per-minute metrics, which Bull Board draws."""

    max_data_points: Whole = Field(default=20160, ge=1, le=MAX_NUMBER)


class WorkerConfig(FrozenModel):
    """How a queue is worked. Retry and retention apply only to jobs that do not set their own.

    Raises ``ConfigurationError`` naming the field if a value is wrong or a key is unknown.
    """

    concurrency: Whole = Field(default=5, ge=1, le=10_000)
    """How many jobs run at a time."""
    attempts: Whole = Field(default=3, ge=1, le=100)
    """How often a job may run that asks for no attempts of its own."""
    backoff: Backoff = Backoff()
    """The wait before the next attempt of such a job: exponential from 1000 ms."""
    remove_on_complete: Retained = Retention(count=1000)
    """How many completed jobs stay (``count``), or for how long (``age``, s). A number is a count, True is 0."""
    remove_on_fail: Retained = Retention(count=5000)
    """How many failed jobs stay, as ``remove_on_complete``."""
    stalled_interval: Whole = Field(default=60_000, ge=10, le=LONGEST_DELAY)
    """How often (ms) to look for jobs whose worker has died."""
    lock_duration: Whole = Field(default=60_000, ge=100, le=LONGEST_DELAY)
    """How long (ms) a worker may give no sign of life before another one may take its job."""
    drain_delay: Whole = Field(default=500, ge=1, le=LONGEST_DELAY)
    """How long (ms) a queue must stay empty to be called drained."""
    max_stalled_count: Whole = Field(default=3, ge=0, le=MAX_NUMBER)
    """How often a job may be taken over from a dead worker; after that it fails."""
    limiter: Limiter | None = None
    """A limit over all workers: ``{"max": jobs, "duration": ms}``."""
    timeout: Whole | None = Field(default=None, ge=1, le=LONGEST_DELAY)
    """How long (ms) one run may take."""
    name: str | None = Field(default=None, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The worker's name in ``processedBy`` and in worker lists."""
    metrics: QueueMetricsConfig | None = None
    """BullMQ's own metrics for Bull Board: ``{"max_data_points": 20160}``."""
    dead_letter_cancelled: bool = False
    """Whether cancelled jobs become dead letters like other failed ones."""
    dead_letter_queues: Annotated[tuple[tuple[str, str | None], ...], BeforeValidator(_pairs)] = ()
    """The dead-letter queues of jobs of some names, None for none: ``{"charge": "paymentsDead"}``. Those of other
    names have the processor's."""
    log_level: LogLevel | None = None
    """The least severe level of this queue's log lines and of its consumer's. None: the settings' level."""
    log_sample: Whole = Field(default=1, ge=1, le=1_000_000)
    """One of this many lines of completed jobs is logged."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise configuration_error("worker_config", error, type(self)) from error

    def dead_letter_queue(self, name: str, reason_class: str, otherwise: str | None) -> str | None:
        """Return the queue of the dead letter of a job of this name that failed for ``reason_class``.

        None: it leaves none. ``otherwise`` is the processor's dead-letter queue.
        """
        if reason_class == ReasonClass.CANCELLED and not self.dead_letter_cancelled:
            return None
        return dict(self.dead_letter_queues).get(name, otherwise)

    def all_dead_letter_queues(self, otherwise: str | None) -> list[str]:
        """Return where any dead letters go, ``otherwise`` first, each queue once."""
        return list(dict.fromkeys(filter(None, (otherwise, *dict(self.dead_letter_queues).values()))))

    @classmethod
    def of(cls, value: WorkerConfig | Mapping[str, Any]) -> WorkerConfig:
        """Return a config as it is, or build one from a mapping with snake_case or camelCase keys."""
        if isinstance(value, WorkerConfig):
            return value
        if not isinstance(value, Mapping):
            raise ConfigurationError(
                f"worker_config must be a WorkerConfig or a mapping, not {type(value).__name__}"
            )
        return cls(**{str(key): field for key, field in value.items()})


WORKER_CONFIG = WorkerConfig()

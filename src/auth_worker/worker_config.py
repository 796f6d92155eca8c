"""How a queue is worked: ``WorkerConfig`` and its parts. All times are milliseconds, as in BullMQ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from auth_worker.backoff import LONGEST_DELAY
from auth_worker.coercion import MAX_NUMBER
from auth_worker.config_errors import configuration_error
from auth_worker.errors import ConfigurationError

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class FrozenModel(BaseModel):
    """Immutable, strict about unknown keys, snake_case in Python and camelCase in JSON."""

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
    delay: int = Field(default=1000, ge=0, le=LONGEST_DELAY)
    jitter: float = Field(default=0, ge=0, le=1)


class Retention(FrozenModel):
    """How many finished jobs stay in Redis: the newest ``count``, or those younger than ``age`` seconds.

    A ``count`` of -1 keeps all, 0 none. ``limit`` bounds how many are removed at a time.
    """

    count: int | None = Field(default=None, ge=-1, le=MAX_NUMBER)
    age: int | None = Field(default=None, ge=0, le=MAX_NUMBER)
    limit: int | None = Field(default=None, ge=1, le=MAX_NUMBER)


class Limiter(FrozenModel):
    """At most ``max`` jobs every ``duration`` ms, over all workers of the queue."""

    max: int = Field(ge=1, le=MAX_NUMBER)
    duration: int = Field(ge=1, le=LONGEST_DELAY)


class QueueMetricsConfig(FrozenModel):
    """BullMQ's own per-minute metrics, as Bull Board draws them."""

    max_data_points: int = Field(default=20160, ge=1, le=MAX_NUMBER)


class WorkerConfig(FrozenModel):
    """How a queue is worked. Retry and retention apply only where the job itself says nothing.

    ``log_level`` is for the lines of this queue and its consumer, None as the settings say. Of the lines of
    completed jobs one in ``log_sample`` is written.

    Raises ``ConfigurationError`` naming the field when a value is wrong or a key is unknown.
    """

    concurrency: int = Field(default=5, ge=1, le=10_000)
    attempts: int = Field(default=3, ge=1, le=100)
    backoff: Backoff = Backoff()
    remove_on_complete: Retention = Retention(count=1000)
    remove_on_fail: Retention = Retention(count=5000)
    stalled_interval: int = Field(default=60_000, ge=10, le=LONGEST_DELAY)
    lock_duration: int = Field(default=60_000, ge=100, le=LONGEST_DELAY)
    drain_delay: int = Field(default=500, ge=1, le=LONGEST_DELAY)
    max_stalled_count: int = Field(default=3, ge=0, le=MAX_NUMBER)
    limiter: Limiter | None = None
    timeout: int | None = Field(default=None, ge=1, le=LONGEST_DELAY)
    name: str | None = Field(default=None, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    metrics: QueueMetricsConfig | None = None
    log_level: LogLevel | None = None
    log_sample: int = Field(default=1, ge=1, le=1_000_000)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise configuration_error("worker_config", error, type(self)) from error

    @classmethod
    def of(cls, value: WorkerConfig | Mapping[str, Any]) -> WorkerConfig:
        """Take a config as it is, or build one from a mapping with snake_case or camelCase keys."""
        if isinstance(value, WorkerConfig):
            return value
        if not isinstance(value, Mapping):
            raise ConfigurationError(
                f"worker_config must be a WorkerConfig or a mapping, not {type(value).__name__}"
            )
        return cls(**{str(key): field for key, field in value.items()})


WORKER_CONFIG = WorkerConfig()

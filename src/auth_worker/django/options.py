"""The ``OPTIONS`` of the backend in Django's setting ``TASKS``."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from auth_worker.core.config_errors import configuration_error
from auth_worker.core.job_options import job_options
from auth_worker.core.worker_config import WORKER_CONFIG, WorkerConfig
from auth_worker.errors import ConfigurationError


class BackendOptions(BaseModel):
    """The options that ``OPTIONS`` may have.

    ``redis_url`` is as in ``JobQueue`` (None: the settings of auth-worker), ``timeout`` (s) bounds each enqueue.
    ``attempts`` is how often a task may run, ``job_options`` are other options of its jobs. ``worker_config`` and
    ``dead_letter_queue_name`` are for the worker. With ``enqueue_on_commit`` a task is enqueued when the
    current transaction is committed, and never if it is rolled back.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True)

    redis_url: str | None = None
    timeout: float = Field(default=2.0, gt=0, le=3600)
    attempts: int = Field(default=1, ge=1)
    job_options: dict[str, Any] = Field(default_factory=dict)
    worker_config: WorkerConfig = WORKER_CONFIG
    dead_letter_queue_name: str | None = None
    enqueue_on_commit: bool = False

    @field_validator("worker_config", mode="before")
    @classmethod
    def _read(cls, value: Any) -> WorkerConfig:
        return WorkerConfig.of(value)

    @field_validator("job_options")
    @classmethod
    def _checked(cls, value: dict[str, Any]) -> dict[str, Any]:
        job_options(value)
        return value


def read_options(alias: str, options: Any) -> BackendOptions:
    """Read the options of the backend ``alias``. Raises ``ConfigurationError`` naming the wrong one."""
    owner = f"TASKS[{alias!r}]['OPTIONS']"
    try:
        return BackendOptions(**options)
    except ValidationError as error:
        raise configuration_error(owner, error, BackendOptions) from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{owner}: {error}") from error

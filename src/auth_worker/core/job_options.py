"""Validates the options that a producer gives a job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from auth_worker.core.backoff import LONGEST_DELAY
from auth_worker.core.coercion import MAX_NUMBER
from auth_worker.core.config_errors import configuration_error
from auth_worker.core.names import LONGEST_NAME
from auth_worker.core.worker_config import Backoff, FrozenModel, Retention, Whole

MAX_PRIORITY = 2**21 - 1
OF_SCHEDULERS = frozenset(("job_id", "delay"))
"""The options that a job scheduler sets itself for each of its jobs."""
Count = Annotated[Whole, Field(ge=0, le=MAX_NUMBER)]


def _spelled_bool(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def in_ms(value: Any) -> Any:
    """Return a timedelta in ms, and anything else as it is."""
    return round(value / timedelta(milliseconds=1)) if isinstance(value, timedelta) else value


Kept = Annotated[
    StrictBool | Annotated[Whole, Field(ge=-1, le=MAX_NUMBER)] | Retention, BeforeValidator(_spelled_bool)
]
"""True, a count or a ``Retention``. "1" and 1.0 are counts, not true."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]


class Deduplication(FrozenModel):
    """Refuses further jobs with the same ``id`` while one exists, or for ``ttl`` ms.

    Source: BullMQ's ``DeduplicationOptions``.
    """

    id: Text
    ttl: Count | None = None
    extend: bool | None = None
    replace: bool | None = None
    keep_last_if_active: bool | None = None
    reschedule: bool | None = Field(default=None, exclude=True)

    @field_validator("reschedule")
    @classmethod
    def _is_not_known(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("the scripts of the installed bullmq package cannot do that yet; use replace")
        return value


class Parent(FrozenModel):
    """The job that waits for this one: its id, and its ``queue`` with the prefix, such as ``bull:emailQueue``."""

    id: Text
    queue: Text


class JobOptions(BaseModel):
    """The options of one job, as BullMQ's ``JobsOptions``, in snake_case or camelCase.

    ``delay`` is in ms, or a timedelta. None leaves an option to the worker and to BullMQ. ``telemetry_metadata``
    is the trace context to store with the job, as JSON; by default, unless ``omit_context`` is set, the caller's.
    ``partition_key`` decides its partition, and means nothing where the queue has none.
    """

    model_config = ConfigDict(
        extra="forbid", populate_by_name=True, alias_generator=to_camel, hide_input_in_errors=True
    )

    job_id: str | None = None
    partition_key: Text | None = Field(default=None, exclude=True)
    delay: Annotated[Whole, Field(ge=0, le=LONGEST_DELAY), BeforeValidator(in_ms)] | None = None
    attempts: Count | None = None
    backoff: Annotated[Whole, Field(ge=-1, le=LONGEST_DELAY)] | Backoff | None = None
    priority: Whole | None = Field(default=None, ge=0, le=MAX_PRIORITY)
    lifo: bool | None = None
    timestamp: Count | None = None
    remove_on_complete: Kept | None = None
    remove_on_fail: Kept | None = None
    keep_logs: Count | None = None
    stack_trace_limit: Count | None = None
    size_limit: Whole | None = Field(default=None, ge=1, le=MAX_NUMBER, exclude=True)
    deduplication: Deduplication | None = None
    parent: Parent | None = None
    fail_parent_on_failure: bool | None = None
    continue_parent_on_failure: bool | None = None
    ignore_dependency_on_failure: bool | None = None
    remove_dependency_on_failure: bool | None = None
    telemetry_metadata: str | None = Field(
        default=None, validation_alias=AliasChoices("telemetryMetadata", "tm"), serialization_alias="tm"
    )
    omit_context: bool | None = Field(
        default=None, validation_alias=AliasChoices("omitContext", "omc"), serialization_alias="omc"
    )

    @model_validator(mode="after")
    def _exclude_each_other(self) -> Self:
        if self.deduplication is not None and self.parent is not None:
            raise ValueError("deduplication and parent cannot be used together")
        return self

    def wire(self) -> dict[str, Any]:
        """Return the options that are set under BullMQ's names, as Redis stores them."""
        wire = self.model_dump(by_alias=True, exclude_none=True)
        if isinstance(self.backoff, Backoff) and not self.backoff.jitter:
            del wire["backoff"]["jitter"]
        return wire


def job_options(options: Mapping[str, Any]) -> JobOptions:
    """Validate a job's options. Raises ``ConfigurationError`` naming the field."""
    try:
        return JobOptions(**options)
    except ValidationError as error:
        raise configuration_error("job options", error, JobOptions) from error

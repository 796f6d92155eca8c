"""The options of a job, as a producer gives them."""

from __future__ import annotations

from collections.abc import Mapping
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

from auth_worker.backoff import LONGEST_DELAY
from auth_worker.coercion import MAX_NUMBER, plain_number
from auth_worker.config_errors import configuration_error
from auth_worker.names import LONGEST_NAME
from auth_worker.worker_config import Backoff, FrozenModel, Retention

MAX_PRIORITY = 2**21 - 1
OF_SCHEDULERS = frozenset(("job_id", "delay"))
"""What a job scheduler decides itself for each of its jobs."""
Whole = Annotated[int, BeforeValidator(plain_number)]
Count = Annotated[Whole, Field(ge=0, le=MAX_NUMBER)]


def _spelled_bool(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


Kept = Annotated[
    StrictBool | Annotated[Whole, Field(ge=-1, le=MAX_NUMBER)] | Retention, BeforeValidator(_spelled_bool)
]
"""True, a count or more; "1" and 1.0 are counts, and not true."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME)]


class Deduplication(FrozenModel):
    """While a job of this ``id`` is there, or for ``ttl`` ms, others are not added.

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
    """The job that waits for this one: its id, and its ``queue`` with the prefix, as ``bull:emailQueue``."""

    id: Text
    queue: Text


class JobOptions(BaseModel):
    """The options of one job, as BullMQ's ``JobsOptions``; snake_case here, camelCase accepted too.

    ``delay`` is ms. What is None is left to the worker and to BullMQ. ``telemetry_metadata`` is the trace the job
    belongs to, a carrier as JSON; without it, and without ``omit_context``, that is the caller's.
    """

    model_config = ConfigDict(
        extra="forbid", populate_by_name=True, alias_generator=to_camel, hide_input_in_errors=True
    )

    job_id: str | None = None
    delay: Whole | None = Field(default=None, ge=0, le=LONGEST_DELAY)
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
        """What goes into Redis: BullMQ's names, without what was not said."""
        return self.model_dump(by_alias=True, exclude_none=True)


def job_options(options: Mapping[str, Any]) -> JobOptions:
    """Check a job's options. Raises ``ConfigurationError`` naming the field."""
    try:
        return JobOptions(**options)
    except ValidationError as error:
        raise configuration_error("job options", error, JobOptions) from error

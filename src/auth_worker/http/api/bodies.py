"""The bodies of requests to the API about one job: a new one, a change to one."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from auth_worker.core.backoff import LONGEST_DELAY
from auth_worker.http.api.parameters import (
    Name,
    Text,
    Whole,
)
from auth_worker.queue import MAX_PRIORITY, JobOptions

MOST_IDS = 10_000


class Body(BaseModel):
    """A body in camelCase. An unknown field is refused by name."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class NewJob(Body):
    """A job to add. ``data`` is any JSON."""

    name: Text
    data: Any = None
    opts: JobOptions = JobOptions()

    def options(self) -> dict[str, Any]:
        """Return its options as the operations take them."""
        size_limit = {} if self.opts.size_limit is None else {"size_limit": self.opts.size_limit}
        return {**self.opts.wire(), **size_limit}


class Cancellation(Body):
    """Why a job is cancelled. The reason is shown with the failed job."""

    reason: Text = ""


class DeadLettering(Body):
    """Where the dead letter of a job goes (``to``), and why it is written."""

    to: Name | None = None
    reason: Text = ""


class Note(Body):
    """A note of an operator."""

    text: Text


class JobChange(Body):
    """A new ``priority`` (1 is the highest, 0 none) or, for a delayed job, a new ``delay`` (ms from now)."""

    priority: Whole | None = Field(default=None, ge=0, le=MAX_PRIORITY)
    delay: Whole | None = Field(default=None, ge=0, le=LONGEST_DELAY)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.priority is None and self.delay is None:
            raise ValueError("name what to change: priority or delay")
        return self

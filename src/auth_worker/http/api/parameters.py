"""The parameters in paths and queries of the API: names, ids, filters, pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from auth_worker.admin.job_conditions import Condition
from auth_worker.admin.operations import Operations
from auth_worker.admin.selection import (
    DeadLetterFilter,
    JobFilter,
    checked_finished_state,
    checked_reason,
    checked_state,
)
from auth_worker.core.coercion import plain_number
from auth_worker.core.names import QUEUE
from auth_worker.core.outcome import ReasonClass
from auth_worker.core.ports import values
from auth_worker.errors import ConfigurationError
from auth_worker.http.api.context import CONTEXT, ApiContext
from auth_worker.http.guard import CHANGE_HEADER

LONGEST = 1000
LONGEST_AGE_S = 1e9
MOST_ROWS = 1000
FURTHEST = 10**9


def _decoded(value: Any) -> Any:
    """Decode a part of a path, which was split before, so that ``%2F`` does not end it."""
    return unquote(value) if isinstance(value, str) else value


def _checked_condition(text: str) -> str:
    try:
        Condition.of(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return text


def _chosen_by(checked: Callable[[str], str]) -> BeforeValidator:
    """Return ``checked`` as pydantic calls it. Pydantic itself refuses a value that is no text."""

    def validate(value: Any) -> Any:
        try:
            return checked(value) if isinstance(value, str) else value
        except ConfigurationError as error:
            raise ValueError(str(error)) from error

    return BeforeValidator(validate)


Name = Annotated[str, StringConstraints(pattern=f"^{QUEUE}$")]
Id = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
Plain = BeforeValidator(plain_number)
"""Used for every number, since pydantic accepts what only Python accepts."""
Whole = Annotated[int, Plain]
"""A whole number. A field sets its range."""
Age = Annotated[float, Plain, Field(ge=0, le=LONGEST_AGE_S, allow_inf_nan=False)]
Rate = Annotated[float, Plain, Field(gt=0, le=1e6, allow_inf_nan=False)]
Where = Annotated[Text, AfterValidator(_checked_condition)]
State = Annotated[values.JobState, _chosen_by(checked_state)]
FinishedState = Annotated[Literal["completed", "failed"], _chosen_by(checked_finished_state)]
Reason = Annotated[ReasonClass, _chosen_by(checked_reason)]

QueuePart = Annotated[Name, BeforeValidator(_decoded), Path(description="The queue.")]
JobPart = Annotated[Id, BeforeValidator(_decoded), Path(description="The job's id, percent-encoded.")]
DeadLetterPart = Annotated[
    Id, BeforeValidator(_decoded), Path(description="The dead letter's id, percent-encoded.")
]
SchedulerPart = Annotated[Id, BeforeValidator(_decoded), Path(description="The scheduler's id, percent-encoded.")]
DeduplicationPart = Annotated[Id, BeforeValidator(_decoded), Path(description="The id, percent-encoded.")]
OperationPart = Annotated[Id, BeforeValidator(_decoded), Path(description="The operation's id.")]
ProcessPart = Annotated[Id, BeforeValidator(_decoded), Path(description="The id in its heartbeat.")]
Offset = Annotated[int, Plain, Query(ge=0, le=FURTHEST, description="How many to skip.")]
Limit = Annotated[int, Plain, Query(ge=1, le=MOST_ROWS, description="How many to return at most.")]
Reveal = Annotated[bool, Query(description="Show data and texts unmasked. They may hold secrets.")]


def conditions_of(texts: list[Where]) -> tuple[Condition, ...]:
    """Parse each condition, such as ``data.user.id=12``."""
    return tuple(Condition.of(text) for text in texts)


Conditions = Annotated[
    list[Where] | None,
    Query(
        max_length=20,
        description="Such as data.user.id=12: path and value. * matches anything, \\* a star. All must match.",
    ),
]


async def _job_filter(
    id: Annotated[Text | None, Query(description="The id; * matches anything.")] = None,
    name: Annotated[Text | None, Query(description="The name; * matches anything.")] = None,
    error: Annotated[Text | None, Query(description="A text in the reason of the failure.")] = None,
    error_group: Annotated[
        Text | None, Query(alias="errorGroup", description="The group of the failure, as groupBy shows it.")
    ] = None,
    frame: Annotated[Text | None, Query(description="Where the failure was raised.")] = None,
    worker: Annotated[Text | None, Query(description="The worker that took it last; * matches anything.")] = None,
    where: Conditions = None,
    older_than: Annotated[
        Age | None,
        Query(alias="olderThan", description="Seconds since it finished, or else was added, at least."),
    ] = None,
    newer_than: Annotated[
        Age | None,
        Query(alias="newerThan", description="Seconds since it finished, or else was added, at most."),
    ] = None,
) -> JobFilter:
    return JobFilter(
        id=id,
        name=name,
        text=error,
        error_group=error_group,
        frame=frame,
        worker=worker,
        where=conditions_of(where or []),
        older_than=older_than,
        newer_than=newer_than,
    )


async def _letter_filter(
    origin: Annotated[Name | None, Query(alias="from", description="The queue of the jobs.")] = None,
    job_id: Annotated[Id | None, Query(alias="jobId", description="The id of the job.")] = None,
    reason: Annotated[Reason | None, Query(description="The class of the reason.")] = None,
    error: Annotated[Text | None, Query(description="A text in the reason.")] = None,
    name: Annotated[Text | None, Query(description="The name of the job; * matches anything.")] = None,
    where: Conditions = None,
    older_than: Annotated[
        Age | None, Query(alias="olderThan", description="Seconds since it was added, at least.")
    ] = None,
    newer_than: Annotated[
        Age | None, Query(alias="newerThan", description="Seconds since it was added, at most.")
    ] = None,
) -> DeadLetterFilter:
    return DeadLetterFilter(
        queue=origin,
        job_id=job_id,
        reason_class=None if reason is None else str(reason),
        text=error,
        name=name,
        where=conditions_of(where or []),
        older_than=older_than,
        newer_than=newer_than,
    )


def _change_header(
    sent: Annotated[
        str,
        Header(
            alias=CHANGE_HEADER, description="Any value. No form of another site can send it; without it: 403."
        ),
    ],
) -> None:
    """Document the header. The guard in front of the API has checked it already."""


ChangeHeader = Depends(_change_header)


def _context(request: Request) -> ApiContext:
    context: ApiContext = request.scope[CONTEXT]
    return context


TheContext = Annotated[ApiContext, Depends(_context)]


async def _operations(context: TheContext) -> Operations:
    return await context.operations()


TheOperations = Annotated[Operations, Depends(_operations)]


async def _known_queue(queue: QueuePart, operations: TheOperations) -> str:
    await operations.queues.check_exists(queue)
    return queue


KnownQueue = Annotated[str, Depends(_known_queue)]
Jobs = Annotated[JobFilter, Depends(_job_filter)]
WantedDeadLetters = Annotated[DeadLetterFilter, Depends(_letter_filter)]

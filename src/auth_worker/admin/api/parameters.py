"""What stands in the paths and queries of the API: names, ids, filters, pages."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from auth_worker.admin.access import CHANGE_HEADER
from auth_worker.admin.api.desk import Desk
from auth_worker.admin.operations import Operations
from auth_worker.admin.search import Condition, JobFilter, LetterFilter
from auth_worker.coercion import plain_number
from auth_worker.errors import ConfigurationError
from auth_worker.names import QUEUE
from auth_worker.outcome import ReasonClass

LONGEST = 1000
LONGEST_AGE_S = 1e9
MOST_ROWS = 1000
FURTHEST = 10**9


def _decoded(value: Any) -> Any:
    """A part of a path is taken apart before it is decoded, so that ``%2F`` in it is no end of it."""
    return unquote(value) if isinstance(value, str) else value


def _checked_condition(text: str) -> str:
    try:
        Condition.of(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return text


Name = Annotated[str, StringConstraints(pattern=f"^{QUEUE}$")]
Id = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
Plain = BeforeValidator(plain_number)
"""Of every number: pydantic takes what Python takes."""
Age = Annotated[float, Plain, Field(ge=0, le=LONGEST_AGE_S, allow_inf_nan=False)]
Where = Annotated[Text, AfterValidator(_checked_condition)]
State = Literal["wait", "active", "delayed", "prioritized", "paused", "waiting-children", "completed", "failed"]

QueuePart = Annotated[Name, BeforeValidator(_decoded), Path(description="The queue.")]
JobPart = Annotated[Id, BeforeValidator(_decoded), Path(description="The job's id, percent-encoded.")]
LetterPart = Annotated[Id, BeforeValidator(_decoded), Path(description="The letter's id, percent-encoded.")]
OperationPart = Annotated[Id, BeforeValidator(_decoded), Path(description="The operation's id.")]
Offset = Annotated[int, Plain, Query(ge=0, le=FURTHEST, description="Go on after so many.")]
Limit = Annotated[int, Plain, Query(ge=1, le=MOST_ROWS, description="So many at most.")]
Reveal = Annotated[bool, Query(description="Show data and texts as they are: they may hold secrets.")]


def conditions_of(texts: list[Where]) -> tuple[Condition, ...]:
    """Read each ``data.user.id=12``."""
    return tuple(Condition.of(text) for text in texts)


Conditions = Annotated[
    list[Where] | None,
    Query(
        max_length=20,
        description="data.user.id=12: what stands at that path, * for anything, \\* for a star; all must hold.",
    ),
]


async def _job_filter(
    id: Annotated[Text | None, Query(description="This id; * stands for anything.")] = None,
    name: Annotated[Text | None, Query(description="This name; * stands for anything.")] = None,
    error: Annotated[Text | None, Query(description="With this text in the reason of failure.")] = None,
    where: Conditions = None,
    older_than: Annotated[
        Age | None, Query(alias="olderThan", description="Finished, or else added, more than so many s ago.")
    ] = None,
) -> JobFilter:
    return JobFilter(id=id, name=name, text=error, where=conditions_of(where or []), older_than=older_than)


async def _letter_filter(
    origin: Annotated[Name | None, Query(alias="from", description="Whose job came from this queue.")] = None,
    job_id: Annotated[Id | None, Query(alias="jobId", description="The letters of this job.")] = None,
    reason: Annotated[ReasonClass | None, Query(description="Died for this reason.")] = None,
    error: Annotated[Text | None, Query(description="With this text in the reason.")] = None,
    name: Annotated[Text | None, Query(description="The job had this name; * stands for anything.")] = None,
    where: Conditions = None,
    older_than: Annotated[
        Age | None, Query(alias="olderThan", description="Added more than so many s ago.")
    ] = None,
) -> LetterFilter:
    return LetterFilter(
        queue=origin,
        job_id=job_id,
        reason_class=None if reason is None else str(reason),
        text=error,
        name=name,
        where=conditions_of(where or []),
        older_than=older_than,
    )


def _change_header(
    sent: Annotated[
        str,
        Header(
            alias=CHANGE_HEADER, description="Any value. No form of another site can send it; without it: 403."
        ),
    ],
) -> None:
    """For the document alone: the guard before the API has looked at it already."""


ChangeHeader = Depends(_change_header)


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


TheDesk = Annotated[Desk, Depends(_desk)]


async def _operations(desk: TheDesk) -> Operations:
    return await desk.operations()


TheOperations = Annotated[Operations, Depends(_operations)]


async def _known_queue(queue: QueuePart, operations: TheOperations) -> str:
    await operations.jobs.check_queue(queue)
    return queue


KnownQueue = Annotated[str, Depends(_known_queue)]
Jobs = Annotated[JobFilter, Depends(_job_filter)]
Letters = Annotated[LetterFilter, Depends(_letter_filter)]

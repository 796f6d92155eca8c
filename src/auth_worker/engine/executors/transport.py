"""Messages between the service and a worker process: frames with pickles of our own.

An exception is sent as it is if it arrives unchanged. Otherwise its nearest ancestor in ``auth_worker.errors`` is
sent instead, with the values that decide what becomes of the job: a subclass of ``Delay`` stays a ``Delay``.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import struct
import sys
from typing import Any, NamedTuple

from auth_worker import errors
from auth_worker.core.error_text import error_text
from auth_worker.errors import AuthWorkerError, JobError, UnrecoverableError
from auth_worker.job import Job

LENGTH = struct.Struct(">Q")
MOST_ERROR_BYTES = 2**20
"""An exception whose pickle is longer is sent with the beginning of its message alone."""
LONGEST_PICKLE = 4
"""How many times as long as its JSON the pickle of a value may be: that of floats is 2.3 times as long."""
DECISIVE = ("seconds", "reason_class", "retryable", "message", "fields", "code")
"""Attributes of our exceptions that decide what becomes of a job, or say why."""


class Ready(NamedTuple):
    """The worker process accepts jobs."""


EndedResources = tuple[tuple[str, str], ...]
"""The names of resources that have ended by themselves, and why."""


class SetupFailed(NamedTuple):
    """The worker process cannot run the consumer: why, and the traceback."""

    reason: str
    trace: str


class Returned(NamedTuple):
    """The consumer returned: a pickle of its value. The rest is as in ``Raised``."""

    value: bytes
    is_last: bool = False
    ended: EndedResources = ()


class Raised(NamedTuple):
    """The consumer raised: the exact exception if it can be pickled, a portable one in any case, the traceback.

    ``is_last`` says that the process must run no other job. ``ended`` are the names of resources that have ended
    by themselves, and why.
    """

    exact: bytes | None
    portable: bytes
    trace: str
    is_last: bool = False
    ended: EndedResources = ()


class ActionRequest(NamedTuple):
    """The running job requests an action of its queue: a ``method`` of ``Job``, and a pickle of its arguments."""

    method: str
    arguments: bytes


class ProcessTraceback(Exception):  # noqa: N818 - a cause to show, never raised
    """The traceback of an exception in its worker process, shown as the exception's cause."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.masked_trace = text

    def __str__(self) -> str:
        return f"\n{self.masked_trace}"


Answer = Ready | SetupFailed | Returned | Raised | ActionRequest
ANSWERS: tuple[type[Answer], ...] = (Ready, SetupFailed, Returned, Raised, ActionRequest)


def framed(message: object) -> bytes:
    """Return ``message`` as a frame."""
    body = pickle.dumps(message)
    return LENGTH.pack(len(body)) + body


def framed_job(job: Job, traceparent: str) -> bytes:
    """Return a job as a frame, without its lease and its way to the queue.

    Its values are in the order of ``Job``'s arguments: with the name of the class and those of its attributes they
    would take three times as long to pickle.
    """
    values = (
        job.id,
        job.name,
        job.data,
        dict(job.opts),
        job.queue_name,
        job.attempt,
        job.max_attempts,
        job.timestamp,
        job.priority,
        job.progress,
        job.parent,
        job.stalled_count,
    )
    return framed((values, job.partition, job.deadline, traceparent))


def job_of(body: bytes) -> tuple[Job, str]:
    """Return the job and traceparent in the body of a frame. The job cannot reach its queue before ``attach``."""
    values, partition, deadline, traceparent = pickle.loads(body)  # noqa: S301 - from the service
    job = Job(*values)
    job.partition, job.deadline = partition, deadline
    return job, traceparent


def framed_answer(answer: Answer) -> bytes:
    """Return ``answer`` as a frame, which has a number for the class, as that is read faster than its name."""
    return framed((ANSWERS.index(type(answer)), *answer))


def answer_of(body: bytes) -> Any:
    """Return the ``Answer`` in the body of a frame."""
    number, *values = pickle.loads(body)  # noqa: S301 - our own process
    return ANSWERS[number](*values)


def returned(value: object, max_bytes: int = sys.maxsize) -> Returned:
    """Return the answer for a value.

    Raises ``UnrecoverableError`` if it cannot be sent back: then it is no JSON either, or its JSON is longer than
    ``max_bytes``, and it would only fill the memory of the service.
    """
    try:
        body = pickle.dumps(value)
        pickle.loads(body)  # noqa: S301 - our own bytes
    except MemoryError:  # which says nothing about the value
        raise
    except RecursionError:
        raise UnrecoverableError(
            "the consumer's return value is nested too deeply to leave its process: some 300 levels do"
        ) from None
    except Exception:
        raise UnrecoverableError(
            f"the consumer's return value is not JSON: it is a {type(value).__name__}"
        ) from None
    if len(body) > LONGEST_PICKLE * max_bytes:
        raise UnrecoverableError(
            f"the consumer's return value has more than {max_bytes:,} bytes (setting max_result_bytes)"
        )
    return Returned(body)


def raised(error: BaseException, trace: str) -> Raised:
    """Return the answer for an exception."""
    return Raised(pickle.dumps(error) if survives_pickling(error) else None, pickle.dumps(portable(error)), trace)


def value_of(answer: Returned | Raised) -> Any:
    """Return the consumer's value, or raise what it raised."""
    if isinstance(answer, Returned):
        try:
            return pickle.loads(answer.value)  # noqa: S301 - our own bytes
        except Exception as error:
            raise UnrecoverableError(
                f"the consumer's return value is not JSON, and cannot be read here: {type(error).__name__}"
            ) from None
    raise _error_of(answer) from ProcessTraceback(answer.trace)


def _error_of(answer: Raised) -> BaseException:
    with contextlib.suppress(Exception):  # its module may exist in the worker process alone
        if answer.exact is not None:
            return _unpickled(answer.exact)
    return _unpickled(answer.portable)


class _LoadedModules(pickle.Unpickler):
    """Reads pickles of what is in modules that are imported already.

    To import another one, for an exception that nothing in the service knows, could block the event loop for
    seconds.
    """

    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules:
            raise pickle.UnpicklingError(f"{module} is not imported")
        return super().find_class(module, name)


def _unpickled(body: bytes) -> BaseException:
    error: BaseException = _LoadedModules(io.BytesIO(body)).load()
    return error


def survives_pickling(error: BaseException) -> bool:
    """Whether unpickling yields the same exception. One whose constructor takes other arguments may differ.

    A very long one does not.
    """
    try:
        body = pickle.dumps(error)
        if len(body) > MOST_ERROR_BYTES:
            return False
        copy = pickle.loads(body)  # noqa: S301 - our own bytes
        return (
            type(copy) is type(error)
            and str(copy) == str(error)
            and all(_attribute(copy, name) == _attribute(error, name) for name in DECISIVE)
            and (not isinstance(error, BaseExceptionGroup) or all(map(survives_pickling, error.exceptions)))
        )
    except Exception:
        return False


def portable(error: BaseException) -> BaseException:
    """Return an exception that means the same for the job, of a class that both processes have and can pickle."""
    if isinstance(error, BaseExceptionGroup):
        return BaseExceptionGroup(_text_of(error.message), [portable(each) for each in error.exceptions])
    if type(error).__module__ in ("builtins", errors.__name__) and survives_pickling(error):
        return error
    kind = _ancestor(error)
    text = f"{type(error).__name__}: {error_text(error)}"
    copy: BaseException = kind.__new__(kind, text)
    for name in DECISIVE:
        if (value := _attribute(error, name)) is not _MISSING:
            setattr(copy, name, value)
    return copy


_MISSING = object()


def _attribute(error: BaseException, name: str) -> Any:
    try:
        if (value := getattr(error, name, _MISSING)) is _MISSING:
            return _MISSING
        body = pickle.dumps(value)
        return value if len(body) <= MOST_ERROR_BYTES and pickle.loads(body) == value else _MISSING  # noqa: S301
    except Exception:
        return _MISSING


def _ancestor(error: BaseException) -> type[BaseException]:
    """Return the nearest class of ``error`` among ours."""
    for kind in type(error).__mro__:
        if kind.__module__ == errors.__name__ and kind is not AuthWorkerError:
            return kind
    return JobError if getattr(error, "retryable", True) else UnrecoverableError


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return "(its message cannot be read)"

"""Every error of this package, and whether trying again can help.

::

    AuthWorkerError
    ├── ConfigurationError            the caller's set-up is wrong: fix it, a retry cannot help
    ├── JobError                      raised by a consumer to say how its job ends
    │   ├── UnrecoverableError        fail at once, and dead-letter
    │   │   ├── UnknownJobTypeError   no handler for this job type
    │   │   ├── InvalidJobDataError   the data does not fit the handler; carries the fields
    │   │   └── InvalidPayloadError   the stored bytes cannot be read as a job
    │   ├── EmailDispatchError        a mail was not sent; a retry may help
    │   ├── JobTimeoutError           the run exceeded its time-out; counts as a failed attempt
    │   └── WorkerCrashedError        the job's own process died under it; counts as a failed attempt
    ├── Steering                      not failures: where the job goes next, no attempt counted
    │   ├── Delay                     run again after so many seconds
    │   ├── RateLimited               back to the queue, and the whole queue waits so many seconds
    │   └── WaitForChildren           run again once the job's children have finished
    ├── LeaseLostError                the job belongs to someone else now; nothing may be written
    ├── ShutdownError                 the service was stopped while it started
    └── BrokerError                   Redis answered with an error, or not at all
        ├── BrokerUnavailableError    no connection, or it broke; the command may or may not have run
        └── BrokerBusyError           Redis is there but refuses for now (OOM, READONLY, LOADING, ...)

``ConfigurationError`` and the branch of ``UnrecoverableError`` end a job for good when a consumer raises them;
every other exception, ours or not, costs one attempt. ``retryable`` of a class says which it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar


class AuthWorkerError(Exception):
    """The root of the tree."""

    retryable: ClassVar[bool] = True
    """Whether a job whose consumer raises this may be tried again."""


class ConfigurationError(AuthWorkerError):
    """The set-up is wrong; the message names the argument or setting and the remedy."""

    retryable = False


class JobError(AuthWorkerError):
    """Raised by a consumer to say how its job ends."""


class UnrecoverableError(JobError):
    """The job fails at once, whatever attempts are left, and is dead-lettered."""

    retryable = False
    reason_class: ClassVar[str] = "unrecoverable"
    """The ``reasonClass`` of the dead letter."""


class UnknownJobTypeError(UnrecoverableError):
    """No handler knows this job type."""

    reason_class = "unknown_job_type"


class InvalidJobDataError(UnrecoverableError):
    """The job's data does not fit its handler.

    ``fields`` lists what is wrong, one mapping a field: ``{"field": "email", "message": "is required"}``.
    """

    reason_class = "invalid_payload"

    def __init__(self, message: str, fields: Iterable[Mapping[str, str]] = ()) -> None:
        self.message = message
        self.fields: list[dict[str, str]] = [dict(field) for field in fields]
        super().__init__(message)

    def __str__(self) -> str:
        details = "; ".join(f"{field.get('field')}: {field.get('message')}" for field in self.fields)
        return f"{self.message} ({details})" if details else self.message


class InvalidPayloadError(UnrecoverableError):
    """The stored bytes of a job cannot be read as a job."""

    reason_class = "invalid_payload"


class EmailDispatchError(JobError):
    """A mail could not be handed over; ``cause`` is the error of the mail service, if there was one."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.__cause__ = cause


class JobTimeoutError(JobError):
    """The run exceeded its time-out and was cancelled."""


class WorkerCrashedError(JobError):
    """The process of its own in which the consumer ran (``execution="process"``) has died under the job."""


class Steering(AuthWorkerError):  # noqa: N818 - not an error: a consumer's way to say where its job goes
    """Where the job goes next. Not a failure: no attempt is counted."""


class Delay(Steering):
    """Run the job again after ``seconds`` (a float >= 0)."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"delay for {seconds} s")
        self.seconds = seconds


class RateLimited(Steering):
    """Put the job back to the front, and let the whole queue wait ``seconds`` (a float > 0)."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"rate limited for {seconds} s")
        self.seconds = seconds


class WaitForChildren(Steering):
    """Run the job again once all its children have finished (at once if none is pending)."""


class LeaseLostError(AuthWorkerError):
    """The job's lock is not ours any more: it belongs to someone else, and nothing may be written."""


class ShutdownError(AuthWorkerError):
    """The service was stopped while it started."""


class BrokerError(AuthWorkerError):
    """Redis answered with an error. ``code`` is the first word of its reply (``ERR``, ``WRONGTYPE``, ...)."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class BrokerUnavailableError(BrokerError):
    """There is no connection to Redis, or it broke before the reply: the command may or may not have run."""


class BrokerBusyError(BrokerError):
    """Redis answers, but refuses for now: OOM, READONLY, LOADING, MASTERDOWN, CLUSTERDOWN, TRYAGAIN, BUSY."""

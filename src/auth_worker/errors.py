"""The errors of this package, and whether a retry can help.

::

    AuthWorkerError
    ├── ConfigurationError            the caller's set-up is wrong: fix it, a retry cannot help
    │   └── MissingExtraError         an optional part of the package is not installed
    ├── JobError                      raised by a consumer to say how its job ends
    │   ├── UnrecoverableError        fail at once, and dead-letter
    │   │   ├── UnknownJobTypeError   no handler for this job type
    │   │   ├── InvalidJobDataError   the data does not fit the handler; lists the fields
    │   │   ├── InvalidPayloadError   the stored bytes cannot be read as a job
    │   │   └── JobCancelledError     a producer or an operator cancelled the job
    │   ├── EmailDispatchError        a mail was not sent; a retry may help
    │   ├── JobTimeoutError           the run exceeded its timeout; counts as a failed attempt
    │   └── WorkerCrashedError        the job's own process died during the run; counts as a failed attempt
    ├── Steering                      not failures: where the job goes next, no attempt counted
    │   ├── Delay                     run again after so many seconds
    │   ├── RateLimited               back to the queue, and the whole queue waits so many seconds
    │   └── WaitForChildren           run again once the job's children have finished
    ├── JobFailedError                the job whose result was awaited failed for good
    ├── JobNotFoundError              the job whose result was awaited is gone, and so is its end
    ├── LeaseLostError                the job's lock is lost; nothing may be written
    ├── ShutdownError                 the service was stopped while it started
    └── BrokerError                   Redis answered with an error, or not at all
        ├── BrokerUnavailableError    no connection, or it broke; the command may or may not have run
        ├── BrokerBusyError           Redis is reachable but refuses for now (OOM, READONLY, LOADING, ...)
        └── BrokerUnpreparedError     Redis has forgotten the scripts, and carried out nothing

A consumer that raises ``ConfigurationError`` or an ``UnrecoverableError`` ends its job for good; every other
exception, from this package or not, costs one attempt. A class's ``retryable`` says which it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

JOB_CANCELLED = "job was cancelled"
"""The start of the failure of every cancelled job, in Redis too. It distinguishes them from other failures."""


class AuthWorkerError(Exception):
    """The base class of all errors of this package."""

    retryable: ClassVar[bool] = True
    """Whether a job whose consumer raises this may be tried again."""


class ConfigurationError(AuthWorkerError):
    """The set-up is wrong. The message names the argument or setting and the remedy."""

    retryable = False


class MissingExtraError(ConfigurationError, ImportError):
    """An optional part of the package is not installed. The message has the command that installs it."""


class JobError(AuthWorkerError):
    """Raised by a consumer to say how its job ends."""


class UnrecoverableError(JobError):
    """Fails the job at once, whatever attempts are left, and dead-letters it."""

    retryable = False
    reason_class: ClassVar[str] = "unrecoverable"
    """The ``reasonClass`` of the dead letter."""


class UnknownJobTypeError(UnrecoverableError):
    """There is no handler for this job type."""

    reason_class = "unknown_job_type"


class InvalidJobDataError(UnrecoverableError):
    """The job's data does not fit its handler.

    ``fields`` lists what is wrong, one mapping per field: ``{"field": "email", "message": "is required"}``.
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


class JobCancelledError(UnrecoverableError):
    """The job was cancelled by a producer or an operator, for ``reason`` if they gave one."""

    reason_class = "cancelled"

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{JOB_CANCELLED}: {self.reason}" if self.reason else JOB_CANCELLED


class JobFailedError(AuthWorkerError):
    """The job whose result was awaited failed for good, for ``reason``. ``job_id`` is its id.

    ``error_type`` is the name of the class of the last error, such as ``ValueError``, as the job's stack trace has
    it; None where the job has none, or is gone.
    """

    def __init__(self, job_id: str, reason: str, error_type: str | None = None) -> None:
        super().__init__(job_id, reason, error_type)
        self.job_id, self.reason, self.error_type = job_id, reason, error_type

    def __str__(self) -> str:
        return f"job {self.job_id} failed: {self.reason}"


class JobNotFoundError(AuthWorkerError):
    """There is no such job, and no event that says how it ended."""


class EmailDispatchError(JobError):
    """A mail could not be handed over. ``cause`` is the error of the mail service, if there was one."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.__cause__ = cause


class JobTimeoutError(JobError):
    """The run exceeded its timeout and was cancelled."""


class WorkerCrashedError(JobError):
    """The process in which the consumer ran (``execution="process"``) died during the run."""


class Steering(AuthWorkerError):  # noqa: N818 - not an error: a consumer's way to say where its job goes
    """Says where the job goes next. Not a failure: no attempt is counted."""


class Delay(Steering):
    """Runs the job again after ``seconds`` (a float >= 0)."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"delay for {seconds} s")
        self.seconds = seconds


class RateLimited(Steering):
    """Puts the job back to the front, and lets the whole queue wait ``seconds`` (a float > 0)."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"rate limited for {seconds} s")
        self.seconds = seconds


class WaitForChildren(Steering):
    """Runs the job again once all its children have finished (at once if none is pending)."""


class LeaseLostError(AuthWorkerError):
    """The job's lock is lost: it belongs to another worker, and nothing may be written."""


class ShutdownError(AuthWorkerError):
    """The service was stopped while it started."""


class BrokerError(AuthWorkerError):
    """Redis answered with an error. ``code`` is the first word of the reply (``ERR``, ``WRONGTYPE``, ...)."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class BrokerUnavailableError(BrokerError):
    """There is no connection to Redis, or it broke before the reply. The command may or may not have run."""


class BrokerBusyError(BrokerError):
    """Redis answers, but refuses for now: OOM, READONLY, LOADING, MASTERDOWN, CLUSTERDOWN, TRYAGAIN, BUSY."""


class BrokerUnpreparedError(BrokerError):
    """Redis has forgotten the scripts (SCRIPT FLUSH, a restart) and carried out nothing; they are loaded again."""

"""The options of tasks and of their jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from auth_worker.core.execution_mode import Execution
from auth_worker.core.job_options import JobOptions, job_options
from auth_worker.core.job_options_dict import JobOptionsDict
from auth_worker.core.names import check_queue_name
from auth_worker.core.worker_config import Backoff
from auth_worker.errors import ConfigurationError

BackoffFunction = Callable[[int, BaseException], "int | float | timedelta | None"]
"""Returns the delay (ms, or a timedelta) after an attempt (from 1) and its error; None to stop retrying."""
TaskOptions = JobOptionsDict
"""The options of a job, for ``task.options(...)``. Options that are not given are the task's."""


class TaskPolicy(NamedTuple):
    """How a task's jobs are run, as given to ``@queue.task``. ``timeout`` is in s."""

    execution: Execution
    timeout: float | None
    options: dict[str, Any]
    backoff: BackoffFunction | None
    dead_letter: bool | str = True

    @property
    def wire(self) -> dict[str, Any]:
        """The options under BullMQ's names."""
        return job_options(self.options).wire()


def task_policy(
    owner: str,
    *,
    execution: Execution,
    timeout: float | timedelta | None,
    backoff: int | Backoff | Mapping[str, Any] | BackoffFunction | None,
    options: Mapping[str, Any],
    dead_letter: bool | str = True,
) -> TaskPolicy:
    """Check the arguments of ``@queue.task``. Raises ``ConfigurationError`` naming ``owner`` and what is wrong."""
    if execution not in ("auto", "thread", "process"):
        raise ConfigurationError(f"{owner}: execution must be auto, thread or process, not {execution!r}")
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if seconds is not None and not (
        isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < 1e9
    ):
        raise ConfigurationError(f"{owner}: timeout must be a number of seconds > 0, or a timedelta")
    if not isinstance(dead_letter, bool):
        check_queue_name(f"{owner}: dead_letter", dead_letter)
    given = {name: value for name, value in options.items() if value is not None}
    function = None
    if callable(backoff):
        function = backoff
    elif backoff is not None:
        given["backoff"] = backoff
    try:
        job_options(given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{owner}: {error}") from error
    return TaskPolicy(execution, seconds, given, function, dead_letter)


def with_options(options: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` updated with ``given``. Raises ``ConfigurationError`` naming the wrong one."""
    merged = {**options, **given}
    unknown = set(given) - set(JobOptionsDict.__annotations__)
    if unknown:
        raise ConfigurationError(f"job options: there is no option {sorted(unknown)[0]}")
    checked: JobOptions = job_options(merged)
    return {name: value for name, value in merged.items() if name in checked.model_fields_set}

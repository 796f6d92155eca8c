"""Finds the enqueued jobs that a test expects, and reports what was enqueued instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from auth_worker.core.job_info import JobInfo
from auth_worker.core.job_options import job_options
from auth_worker.core.json_codec import encode_json
from auth_worker.core.policy import read_options
from auth_worker.errors import InvalidJobDataError
from auth_worker.tasks import Enqueuer, Task

LONGEST_LINE = 200
MOST_SHOWN = 30
_MISSING = object()


class Expected:
    """Expects jobs of a task, or with a name, whose data contains ``values``.

    For ``task.options(...)``, also with those options. A value is compared with the task's argument and with its
    JSON, and may be anything that has ``==``, such as ``unittest.mock.ANY``.
    """

    def __init__(self, kind: Enqueuer[..., Any] | str, values: Mapping[str, Any]) -> None:
        self._task = None if isinstance(kind, str) else kind.task
        self._name = kind if isinstance(kind, str) else kind.task.name
        self._values = values
        self._options: dict[str, Any] = {}
        if not isinstance(kind, str | Task):
            self._options = read_options(encode_json(job_options(kind.job_options).wire()))
        self._check_names()

    def __str__(self) -> str:
        wanted = [f"{name}={value!r}" for name, value in {**self._values, **self._options}.items()]
        queue = "" if self._task is None else f" of queue {self._task.queue.name}"
        return f"job {self._name}{queue}" + (f" with {', '.join(wanted)}" if wanted else "")

    def differences(self, job: JobInfo) -> list[str] | None:
        """Return how ``job`` differs from what is expected; None for a job of another task."""
        if job.name != self._name or (self._task is not None and job.queue_name != self._task.queue.name):
            return None
        arguments = self._arguments(job)
        data = job.data if isinstance(job.data, Mapping) else {}
        found = []
        for name, value in self._values.items():
            actual = arguments.get(name, data.get(name, _MISSING))
            if actual is _MISSING:
                found.append(f"{name} is missing")
            elif not (_equal(value, actual) or _equal(value, data.get(name, _MISSING))):
                found.append(f"{name} is {actual!r}")
        for name, value in self._options.items():
            if job.opts.get(name) != value:
                found.append(f"option {name} is {job.opts.get(name)!r}")
        return found

    def among(self, jobs: Iterable[JobInfo]) -> list[JobInfo]:
        """Return those of ``jobs`` that are expected."""
        return [job for job in jobs if self.differences(job) == []]

    def report(self, jobs: Iterable[JobInfo]) -> str:
        """Return a text that lists ``jobs``, and how those of the same task differ from what is expected."""
        lines = []
        for job in jobs:
            lines.append(_shown(job))
            differing = self.differences(job)
            lines += [f"      but {_cut('; '.join(differing))}"] if differing else []
        if not lines:
            return "nothing was enqueued"
        hidden = len(lines) - MOST_SHOWN
        more = [f"  and {hidden} more lines"] if hidden > 0 else []
        return "\n".join(["enqueued were:", *lines[:MOST_SHOWN], *more])

    def _arguments(self, job: JobInfo) -> Mapping[str, Any]:
        if self._task is None:
            return {}
        try:
            return self._task.definition.decode(job.data)
        except InvalidJobDataError:  # added without the task, with other data: only the JSON is compared
            return {}

    def _check_names(self) -> None:
        if self._task is not None:
            known = self._task.definition.signature.data
            for name in self._values:
                if name not in known:
                    raise TypeError(f"task {self._name} has no argument {name}; it has {', '.join(known)}")


def _equal(expected: Any, actual: Any) -> bool:
    return bool(expected == actual)


def _shown(job: JobInfo) -> str:
    options = "".join(f" {name}={value!r}" for name, value in job.opts.items())
    data = encode_json(job.data).decode()
    return _cut(f"  {job.queue_name} {job.id} {job.name} {data}{options} ({job.state})")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]}..."

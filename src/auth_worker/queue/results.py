"""Turns the end of a job into the result, or the error, that a caller waiting for it gets."""

from __future__ import annotations

import re
from typing import Any

from auth_worker.core.cancellation import given_reason
from auth_worker.core.decisions import class_of_failure
from auth_worker.core.json_codec import decode_json
from auth_worker.core.outcome import ReasonClass
from auth_worker.core.ports.producer import Ended
from auth_worker.errors import JobCancelledError, JobFailedError, JobNotFoundError

_PYTHON = "Traceback (most recent call last):"
_CLASS = re.compile(r"((?:\w+\.)*[A-Za-z_]\w*)(?::|\Z)")


def result_of(job_id: str, ended: Ended | None) -> Any:
    """Return the result of a job by how it ``ended``; None means that there is no such job.

    Raises ``JobFailedError``, ``JobCancelledError`` and ``JobNotFoundError``.
    """
    if ended is None:
        raise JobNotFoundError(f"there is no job {job_id}, and no event says how it ended")
    if ended.failure is None:
        return decode_json(ended.value)
    if class_of_failure(ended.failure) is ReasonClass.CANCELLED:
        raise JobCancelledError(given_reason(ended.failure))
    raise JobFailedError(job_id, ended.failure, error_type_of(ended.trace))


def error_type_of(trace: str | None) -> str | None:
    """Return the name of the error's class in a stack trace of Python or JavaScript; None if it shows none."""
    path = _path_in(trace)
    return path and path.rpartition(".")[2]


def error_path_of(trace: str) -> str:
    """Return the error's class in a stack trace as ``module.Class``; ``builtins.Exception`` without one."""
    path = _path_in(trace) or "Exception"
    return path if "." in path else f"builtins.{path}"


def _path_in(trace: str | None) -> str | None:
    lines = (trace or "").splitlines()
    if _PYTHON in lines:
        last = len(lines) - lines[::-1].index(_PYTHON)
        lines = [line for line in lines[last:] if line and not line.startswith(" ")]
    named = _CLASS.match(lines[0]) if lines else None
    return named and named[1]

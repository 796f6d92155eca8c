"""A validation error of very many problems costs little, and says no value."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from auth_worker.core.decisions import decide_error
from auth_worker.core.outcome import Fail, Retry
from support.factories import a_job, some_options
from support.raising import raised

SECRET = "hunter2"


class Rows(BaseModel):
    """A model of many numbers."""

    rows: list[int]


@pytest.mark.parametrize(
    ("about", "call"),
    [
        (True, Rows.model_validate),
        (True, lambda data: Rows(**data)),
        (True, lambda data: TypeAdapter(list[int]).validate_python(data["rows"])),
        (False, lambda data: Rows.model_validate({"rows": ["x"] * 100_000})),
        (False, lambda data: TypeAdapter(list[int]).validate_python(["x"] * 100_000)),
    ],
)
def test_an_error_of_very_many_problems_is_counted_and_not_listed(about: bool, call: Callable[[Any], Any]) -> None:
    data = {"rows": [SECRET] * 100_000}
    error = raised(lambda: call(data))
    began = time.process_time()
    outcome = decide_error(error, a_job(data=data, attempt=1), some_options({"attempts": 9}))
    assert time.process_time() - began < 0.5, "a list of them takes a second"
    assert isinstance(outcome, Fail if about else Retry)
    assert re.fullmatch(r"more than 500 validation errors for [\w\[\]]+", outcome.reason)
    assert SECRET not in outcome.reason + outcome.trace

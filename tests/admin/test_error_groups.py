"""Failures that differ in numbers, ids and quotations alone are one group."""

from __future__ import annotations

import json

import pytest

from auth_worker.admin.failures import NO_REASON, NOWHERE, normalized, top_frame


@pytest.mark.parametrize(
    ("one", "other", "group"),
    [
        ("KeyError: 'ada'", 'KeyError: "bob"', "KeyError: <text>"),
        ("smtp.Error4: 421 after 3.5 s", "smtp.Error4: 450 after 12 s", "smtp.Error4: <number> after <number> s"),
        ("job 4f1cdeadbeef gone", "job 0x7f gone", "job <hex> gone"),
        (
            "E: 123e4567-e89b-12d3-a456-426614174000",
            "E: 00000000-e89b-12d3-a456-426614174000",
            "E: ***",
        ),
    ],
)
def test_reasons_that_differ_only_in_values_are_one_group(one: str, other: str, group: str) -> None:
    assert (normalized(one), normalized(other)) == (group, group)


def test_different_types_are_different_groups() -> None:
    assert normalized("TimeoutError: 3") != normalized("ValueError: 3")


def test_a_failure_without_a_reason_is_in_a_group_too() -> None:
    assert normalized("  ") == normalized("") == NO_REASON


PYTHON = """Traceback (most recent call last):
  File "/srv/venv/lib/auth_worker/engine/perform.py", line 40, in perform
    result = await consumer(job)
  File "/srv/app/mail.py", line 12, in send
    raise TimeoutError
TimeoutError"""
NODE = """Error: no answer
    at Object.send (/srv/app/dist/mail.js:12:7)
    at async Worker.processJob (/srv/node_modules/bullmq/worker.js:400:28)"""


@pytest.mark.parametrize(
    ("traces", "place"),
    [
        (["Traceback", PYTHON], "app/mail.py, in send"),
        ([PYTHON, NODE], "dist/mail.js, in Object.send"),
        (["Error: x\n    at async node:internal/timers:1:2"], "node:internal/timers"),
        (["Error: x\n    at C:\\app\\mail.js:3:4"], "app/mail.js"),
        ([], NOWHERE),
        (["nothing"], NOWHERE),
        ([3], NOWHERE),
    ],
)
def test_the_place_is_the_innermost_frame_of_the_last_attempt_without_its_line(
    traces: list[object], place: str
) -> None:
    assert top_frame(json.dumps(traces)) == place


def test_a_trace_that_is_missing_or_no_json_has_no_place() -> None:
    assert top_frame(None) == top_frame("") == top_frame("{") == NOWHERE

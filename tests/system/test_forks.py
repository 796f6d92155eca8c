"""A forked child and the service and logs of its parent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.forking import program

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
PROGRAM = Path(__file__).parents[1] / "support" / "forked_services.py"


def outcome(scenario: str, redis_url: str) -> Any:
    """Run the program and return what it printed; its log is on stderr."""
    return json.loads(program(PROGRAM, scenario, redis_url, quiet=False).stdout)


def logged(scenario: str, file: Path) -> list[dict[str, Any]]:
    """Return the lines that the program and its children have logged."""
    program(PROGRAM, scenario, "", str(file))
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_child_does_nothing_with_the_running_service_of_its_parent(redis_url: str) -> None:
    found = outcome("a_running_service", redis_url)
    assert found["start"] == "the service is stopped: a service is started once"
    assert found == {
        "state": "stopped",
        "threads": 1,
        "running": [False],
        "health": ["the service is stopped", "work: not running"],
        "stopped": True,
        "quick": True,
        "start": found["start"],
        "livez": 200,
        "parent": [],
        "port is free": True,
    }


def test_children_can_start_a_service_that_their_parent_created(redis_url: str) -> None:
    names = outcome("a_service_made_before_the_fork", redis_url)
    assert len(set(names)) == 2


def test_a_job_cannot_be_reached_from_a_child_of_its_consumer(redis_url: str) -> None:
    told, row = outcome("a_job_in_a_forked_child", redis_url)
    assert "a forked child has no connection to Redis" in told
    assert row == "from the parent"


def test_each_line_of_parent_and_children_is_written_once(tmp_path: Path) -> None:
    lines = logged("logs_of_children", tmp_path / "log")
    assert [line["number"] for line in lines if line["event"] == "parent"] == list(
        range(sum(line["event"] == "parent" for line in lines))
    )
    said = [(line["name"], line["number"]) for line in lines if line["event"] == "child"]
    assert said == [(str(name), number) for name in range(20) for number in range(50)]


def test_what_children_of_multiprocessing_log_is_written(tmp_path: Path) -> None:
    events = sorted(line["event"] for line in logged("logs_of_multiprocessing", tmp_path / "log"))
    assert events == [*(f"child {number}" for number in range(5)), "parent"]


def test_what_a_child_logs_before_it_exits_is_written(tmp_path: Path) -> None:
    events = sorted(line["event"] for line in logged("logs_of_a_child_that_exits", tmp_path / "log"))
    assert events == ["child", "parent"]


def test_a_child_logs_although_its_parent_was_writing_during_the_fork() -> None:
    ended = program(PROGRAM, "logs_while_the_stream_is_stuck", "")
    assert json.loads(ended.stdout) == [1, 1]


@pytest.mark.parametrize(
    ("scenario", "owners", "told"),
    [("one_that_raises", 6, "(6 sub-exceptions)"), ("a_closed_file", 4, ""), ("no_descriptor_left", 3, "")],
)
def test_a_child_resets_the_rest_although_one_part_fails(scenario: str, owners: int, told: str) -> None:
    ended = program(PROGRAM.with_name("fork_guards.py"), scenario, quiet=False)
    assert json.loads(ended.stdout) == {"shared": 0, "renewed": owners}
    assert told in ended.stderr
    assert told or not ended.stderr

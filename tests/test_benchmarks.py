"""The benchmark's targets are about what it measures, and its page about its targets."""

from __future__ import annotations

import json
from typing import Any

from bench.rivals.contenders import CONTENDERS, WORK
from bench.scenarios import OURS, SCENARIOS
from bench.targets import TARGETS
from docs.benchmark_causes import CAUSES
from docs.benchmark_page import FILES, benchmarks

MEASURED = {each.name: each.contenders for each in SCENARIOS} | {
    work.name: tuple(each.name for each in CONTENDERS if work.mode in each.modes) for work in WORK
}


def all_results() -> list[dict[str, Any]]:
    """What was measured."""
    return [json.loads(path.read_text()) for path in FILES]


def test_each_target_compares_what_is_measured() -> None:
    for target in TARGETS:
        assert target.scenario in MEASURED
        scenario, contender = target.against or (target.scenario, OURS)
        assert contender in MEASURED[scenario], target.text


def test_each_cause_on_the_page_is_of_a_target() -> None:
    assert set(CAUSES) <= {target.text for target in TARGETS}


def test_the_page_says_why_each_missed_target_is_missed() -> None:
    judged = [
        each for results in all_results() for found in results["servers"].values() for each in found["targets"]
    ]
    assert {each["target"] for each in judged if not each["met"]} <= set(CAUSES)


def test_the_page_shows_each_target_that_was_measured() -> None:
    page = benchmarks()
    for results in all_results():
        for found in results["servers"].values():
            assert found["targets"]
            for each in found["targets"]:
                assert f"| {each['target']} | {each['must_be']} |" in page

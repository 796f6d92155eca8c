"""The benchmark's targets are about what it measures, and its page about its targets."""

from __future__ import annotations

import json

from bench.rivals.contenders import CONTENDERS, WORK
from bench.scenarios import EVERYBODY, SCENARIOS
from bench.targets import TARGETS
from docs.benchmark_page import CAUSES, FILES, benchmarks

MEASURED = {each.name: each.contenders for each in SCENARIOS} | {
    work.name: tuple(each.name for each in CONTENDERS if work.mode in each.modes) for work in WORK
}


def test_each_target_compares_what_is_measured() -> None:
    for target in TARGETS:
        assert target.scenario in MEASURED
        scenario, contender = target.against or (target.scenario, EVERYBODY[0])
        assert contender in MEASURED[scenario], target.text


def test_each_cause_on_the_page_is_of_a_target() -> None:
    assert set(CAUSES) <= {target.text for target in TARGETS}


def test_the_page_shows_each_target_that_was_measured() -> None:
    page = benchmarks()
    for results in (json.loads(path.read_text()) for path in FILES):
        for found in results["servers"].values():
            assert found["targets"]
            for each in found["targets"]:
                assert f"| {each['target']} | {each['must_be']} |" in page

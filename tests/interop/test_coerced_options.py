"""Options whose values came as texts: a job is tried as often as Node's worker tries it, and none is stuck."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from auth_worker import Job
from interop.conftest import StartWorker
from interop.node_side import NodeSide

FIXED = {"type": "fixed", "delay": 20}
LIKE_NODE: dict[str, dict[str, Any]] = {
    "attempts text": {"attempts": "3"},
    "attempts float": {"attempts": 2.5},
    "attempts exponent": {"attempts": "3e0"},
    "attempts hexadecimal": {"attempts": "0x3"},
    "attempts list": {"attempts": ["3"]},
    "attempts true": {"attempts": True},
    "attempts word": {"attempts": "many"},
    "attempts object": {"attempts": {}},
    "attempts negative": {"attempts": -3},
    "attempts many": {"attempts": 30},
    "delay of backoff text": {"attempts": 3, "backoff": {"type": "fixed", "delay": "20"}},
    "delay of exponential text": {"attempts": 3, "backoff": {"type": "exponential", "delay": "5"}},
    "delay of backoff null": {"attempts": 3, "backoff": {"type": "fixed", "delay": None}},
    "delay of backoff missing": {"attempts": 3, "backoff": {"type": "fixed"}},
    "delay of backoff negative": {"attempts": 3, "backoff": {"type": "fixed", "delay": -5}},
    "delay of backoff minus one": {"attempts": 3, "backoff": {"type": "fixed", "delay": -1}},
    "backoff minus one": {"attempts": 3, "backoff": -1},
    "backoff empty": {"attempts": 3, "backoff": ""},
    "jitter text": {"attempts": 3, "backoff": {"type": "fixed", "delay": 20, "jitter": "0.5"}},
    "jitter word": {"attempts": 3, "backoff": {"type": "fixed", "delay": 20, "jitter": "some"}},
    "delay text": {"attempts": 2, "delay": "30"},
    "timestamp text": {"attempts": 2, "timestamp": "1700000000000"},
    "keepLogs text": {"attempts": 2, "keepLogs": "5"},
    "stackTraceLimit text": {"attempts": 3, "stackTraceLimit": "2"},
    "stackTraceLimit word": {"attempts": 3, "stackTraceLimit": "some"},
    "lifo text": {"attempts": 3, "lifo": "false"},
    "removal at an age text": {"attempts": 2, "removeOnFail": {"age": "3600"}},
    "removal list": {"attempts": 2, "removeOnFail": [5]},
    "failParentOnFailure text": {"attempts": 2, "failParentOnFailure": "no"},
}
SAFER_THAN_NODE: dict[str, tuple[dict[str, Any], int]] = {
    "backoff text: Node leaves the job active": ({"attempts": 3, "backoff": "20"}, 3),
    "backoff of an unknown type: Node leaves the job active": ({"attempts": 3, "backoff": {"type": "odd"}}, 3),
    "backoff with a word for delay: Node leaves the job active": (
        {"attempts": 3, "backoff": {"type": "fixed", "delay": "soon"}},
        3,
    ),
    "removeOnFail number: Node removes it at once": ({"attempts": 2, "removeOnFail": "5"}, 2),
    "removeOnFail false: Node removes it at once": ({"attempts": 2, "removeOnFail": "false"}, 2),
    "removeOnFail count: Node leaves the job active": ({"attempts": 2, "removeOnFail": {"count": "5"}}, 2),
    "removeOnFail null: Node leaves the job active": ({"attempts": 2, "removeOnFail": None}, 2),
}


class Refusals:
    """A consumer that always fails, and counts its runs by the name of the job."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()

    async def __call__(self, job: Job) -> None:
        self.runs[job.name] += 1
        raise ValueError("no")


async def add_all(node: NodeSide, queue: str, cases: dict[str, dict[str, Any]]) -> None:
    for name, options in cases.items():
        await node.add(queue, name, {}, **options)


async def test_a_job_is_tried_as_often_as_node_tries_it(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    theirs = f"{queue}-node"
    await add_all(node, theirs, LIKE_NODE)
    await add_all(node, queue, LIKE_NODE)
    consumer = Refusals()
    await node.start_worker(theirs, {"throws": "no"})
    await start_worker(queue, consumer, attempts=1)
    await node.until_counts(theirs, failed=len(LIKE_NODE))
    await node.until_counts(queue, failed=len(LIKE_NODE))
    expected = Counter(run["name"] for run in await node.runs(theirs))
    assert dict(consumer.runs) == dict(expected)
    traces = {job["name"]: len(job["stacktrace"]) for job in await node.jobs(theirs, "failed")}
    assert {job["name"]: len(job["stacktrace"]) for job in await node.jobs(queue, "failed")} == traces


async def test_where_node_leaves_or_loses_a_job_it_is_retried_and_kept(
    node: NodeSide, queue: str, start_worker: StartWorker
) -> None:
    await add_all(node, queue, {name: options for name, (options, _) in SAFER_THAN_NODE.items()})
    consumer = Refusals()
    await start_worker(queue, consumer, backoff=FIXED)
    await node.until_counts(queue, failed=len(SAFER_THAN_NODE))
    assert dict(consumer.runs) == {name: runs for name, (_, runs) in SAFER_THAN_NODE.items()}


@pytest.mark.parametrize("kept", ["5", "false", "", {"count": "5"}, {"age": "60"}, [1], "some", None])
async def test_a_completed_job_is_kept_unless_it_is_clear_that_it_is_not_to_be(
    node: NodeSide, queue: str, start_worker: StartWorker, kept: Any
) -> None:
    async def consumer(job: Job) -> None:
        """Complete."""

    await node.add(queue, "n", {}, removeOnComplete=kept)
    await start_worker(queue, consumer)
    await node.until_counts(queue, completed=1)

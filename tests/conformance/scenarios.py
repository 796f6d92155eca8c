"""The scenarios, as data: what producers do, what the consumer does, and when to look.

A scenario is a list of steps. ``add``, ``queue``, ``job`` and ``flow`` are what a producer does with Node's
package; ``abandon`` lets a worker take the next job and die; ``start`` starts the workers; ``until`` waits for
these counts of jobs and compares, ``reach`` only waits; ``release`` lets jobs go on that stand at ``hold``;
``clock`` waits until no period is about to end. The script says for each job's name what its first run does, its
second, and so on; the last entry stands for all further runs, and without a script a job returns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Step = tuple[Any, ...]
Run = list[tuple[str, Any]]
BOOM: Run = [("throws", "boom")]
OK: Run = [("returns", "ok")]


@dataclass(frozen=True)
class Scenario:
    """``worker`` holds options by BullMQ's names, for both workers; ``queues`` are those that are
    worked. ``dead_letters`` is the dead-letter queue of our worker; Node has none.
    """

    steps: Sequence[Step]
    script: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    worker: Mapping[str, Any] = field(default_factory=dict)
    queues: Sequence[str] = ("work",)
    dead_letters: str | None = None


def add(name: str = "a", data: Any = None, **options: Any) -> Step:
    return ("queue", "work", "add", name, {} if data is None else data, options)


def queue(method: str, *args: Any) -> Step:
    return ("queue", "work", method, *args)


def until(name: str = "work", /, **counts: int) -> Step:
    """Wait until the queue has these jobs and no others."""
    return ("until", name, {state.replace("_", "-"): count for state, count in counts.items()})


def reach(name: str = "work", /, **counts: int) -> Step:
    """As ``until``, but compare nothing."""
    return ("reach", *until(name, **counts)[1:])


START: Step = ("start",)
RELEASE: Step = ("release",)


def sleep(ms: int) -> Step:
    return ("sleep", ms)


def clock(every: float = 60, *, room: float = 10, offset: float = 0) -> Step:
    """Wait until the next time that is ``offset`` into a period of ``every`` is ``room`` away at least; all in s.

    So the steps that follow are taken before that time on both sides, and what is due then happens after them.
    """
    return ("clock", every, room, offset)


def finished(*steps: Step, **counts: int) -> list[Step]:
    """The steps, then the workers, then these counts."""
    return [*steps, START, until(**counts)]


def many(count: int, **options: Any) -> list[Step]:
    return [add(f"job{number}", **options) for number in range(count)]


RESULTS = {
    "complete_with_text": "done",
    "complete_with_unicode": "Zoë 🚀",
    "complete_with_number": 4.5,
    "complete_with_object": {"sent": True, "to": ["a", "b"], "nested": {"x": None}},
    "complete_with_list": [1, "two", None],
    "complete_with_null": None,
    "complete_with_false": False,
    "complete_with_empty_text": "",
}

PLAIN: dict[str, Scenario] = {
    **{
        name: Scenario(finished(add("a", {"x": 1}), completed=1), {"a": [[("returns", value)]]})
        for name, value in RESULTS.items()
    },
    "complete_with_undefined": Scenario(finished(add(), completed=1)),
    "complete_with_text_as_data": Scenario(finished(add("a", "only text"), add("a", [1]), completed=2)),
    "complete_many": Scenario(finished(*many(5), completed=5)),
    "complete_one_by_one": Scenario([START, add("a"), until(completed=1), add("b"), until(completed=2)]),
    "complete_after_idle": Scenario([START, sleep(300), add("a"), until(completed=1)]),
    "custom_id": Scenario(finished(add(jobId="mine"), add(jobId="mine"), add(jobId="Zoë 1"), completed=2)),
    "size_and_timestamp": Scenario(finished(add(sizeLimit=1000, timestamp=1_700_000_000_000), completed=1)),
    "fail_without_attempts": Scenario(finished(add(), failed=1), {"a": [BOOM]}),
    "fail_with_attempts_used_up": Scenario(finished(add(attempts=3), failed=1), {"a": [BOOM]}),
    "fail_with_unicode": Scenario(finished(add(), failed=1), {"a": [[("throws", "boom Zoë 🚀")]]}),
    "fail_then_succeed": Scenario(finished(add(attempts=2), add("b"), completed=2), {"a": [BOOM, OK]}),
    "retry_fixed_backoff": Scenario(finished(add(attempts=3, backoff=50), completed=1), {"a": [BOOM, BOOM, OK]}),
    "retry_fixed_backoff_of_none": Scenario(
        finished(add(attempts=2, backoff={"type": "fixed", "delay": 0}), add("b"), completed=2),
        {"a": [BOOM, OK]},
    ),
    "retry_exponential_backoff": Scenario(
        finished(add(attempts=4, backoff={"type": "exponential", "delay": 40}), failed=1), {"a": [BOOM]}
    ),
    "retry_waits": Scenario(
        finished(add(attempts=2, backoff=30_000), add("b"), delayed=1, completed=1), {"a": [BOOM]}
    ),
    "retry_lifo": Scenario(
        finished(add(attempts=2, lifo=True), add("b"), add("c"), completed=3), {"a": [BOOM, OK]}
    ),
    "retry_with_priority": Scenario(
        finished(add(attempts=2, priority=5), add("b", priority=1), add("c", priority=9), completed=3),
        {"a": [BOOM, OK]},
    ),
    "retry_by_hand": Scenario(
        [*finished(add(), failed=1), ("job", "work", "1", "retry"), until(completed=1)], {"a": [BOOM, OK]}
    ),
    "retry_many_times": Scenario(finished(add(attempts=11), failed=1), {"a": [BOOM]}),
    "unrecoverable": Scenario(
        finished(add(attempts=5, backoff=50), failed=1), {"a": [[("unrecoverable", "boom for good")]]}
    ),
    "delayed": Scenario(finished(add(delay=500), add("b"), completed=2)),
    "delayed_with_priority": Scenario(finished(add(delay=500, priority=3), add("b", priority=4), completed=2)),
    "delayed_far": Scenario(finished(add(delay=60_000), add("b"), delayed=1, completed=1)),
    "delayed_while_idle": Scenario([START, sleep(100), add(delay=600), add("b", delay=300), until(completed=2)]),
    "delayed_promoted": Scenario(
        [START, add(delay=60_000), until(delayed=1), ("job", "work", "1", "promote"), until(completed=1)]
    ),
    "priorities": Scenario(
        finished(add(priority=3), add("b", priority=1), add("c"), add("d", priority=2), add("e"), completed=5)
    ),
    "lifo": Scenario(finished(add(lifo=True), add("b", lifo=True), add("c"), completed=3)),
    "metadata_of_telemetry": Scenario(
        finished(add(attempts=2, telemetry={"metadata": '{"traceparent":"00-1"}'}), completed=1), {"a": [BOOM, OK]}
    ),
    "telemetry_omitted": Scenario(finished(add(telemetry={"omitContext": True}), completed=1)),
}

KEEP: dict[str, Scenario] = {
    "remove_on_complete_true": Scenario(finished(*many(3, removeOnComplete=True), completed=0)),
    "remove_on_complete_false": Scenario(
        finished(*many(2, removeOnComplete=False), completed=2), worker={"removeOnComplete": {"count": 0}}
    ),
    "remove_on_complete_count": Scenario(finished(*many(5, removeOnComplete=2), completed=2)),
    "remove_on_complete_age": Scenario(
        [*finished(*many(2), completed=2), sleep(1500), add(removeOnComplete={"age": 1}), until(completed=1)]
    ),
    "remove_on_complete_age_and_count": Scenario(
        finished(*many(5, removeOnComplete={"age": 100, "count": 3}), completed=3)
    ),
    "remove_on_complete_age_and_limit": Scenario(
        [
            *finished(*many(4), completed=4),
            sleep(1500),
            add(removeOnComplete={"age": 1, "count": 100, "limit": 2}),
            until(completed=3),
        ]
    ),
    "remove_on_complete_of_the_worker": Scenario(
        finished(*many(5), completed=2), worker={"removeOnComplete": {"count": 2}}
    ),
    "remove_on_fail_true": Scenario(finished(add(removeOnFail=True), failed=0), {"a": [BOOM]}),
    "remove_on_fail_count": Scenario(finished(*[add(removeOnFail=1) for _ in range(3)], failed=1), {"a": [BOOM]}),
    "remove_on_fail_age": Scenario(
        [*finished(add(), failed=1), sleep(1500), add(removeOnFail={"age": 1}), until(failed=1)], {"a": [BOOM]}
    ),
    "remove_on_fail_age_count_and_limit": Scenario(
        [
            *finished(*[add() for _ in range(4)], failed=4),
            sleep(1500),
            add(removeOnFail={"age": 1, "count": 100, "limit": 2}),
            until(failed=3),
        ],
        {"a": [BOOM]},
    ),
    "remove_on_fail_of_the_worker": Scenario(
        finished(*[add() for _ in range(3)], failed=1), {"a": [BOOM]}, {"removeOnFail": {"count": 1}}
    ),
    "keep_logs": Scenario(
        finished(add(keepLogs=2), completed=1), {"a": [[("log", row) for row in ("one", "two", "three")]]}
    ),
    "logs": Scenario(
        finished(add(attempts=2), completed=1), {"a": [[("log", "first"), *BOOM], [("log", "second Zoë"), *OK]]}
    ),
    "logs_go_with_the_job": Scenario(finished(add(removeOnComplete=True), completed=0), {"a": [[("log", "one")]]}),
    "progress_number": Scenario(finished(add(), completed=1), {"a": [[("progress", 10), ("progress", 100), *OK]]}),
    "progress_object": Scenario(
        finished(add(), completed=1), {"a": [[("progress", {"done": 1, "of": "Zoë"}), *OK]]}
    ),
    "stack_trace_limit_0": Scenario(finished(add(attempts=3, stackTraceLimit=0), failed=1), {"a": [BOOM]}),
    "stack_trace_limit_1": Scenario(
        finished(add(attempts=3, stackTraceLimit=1), failed=1),
        {"a": [[("throws", f"boom {n}")] for n in range(3)]},
    ),
    "stack_trace_limit_many": Scenario(
        finished(add(attempts=4, stackTraceLimit=2), failed=1),
        {"a": [[("throws", f"boom {n}")] for n in range(4)]},
    ),
    "stack_traces_in_order": Scenario(
        finished(add(attempts=4), completed=1), {"a": [*[[("throws", f"boom {n}")] for n in range(3)], OK]}
    ),
}

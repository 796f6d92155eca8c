"""More scenarios: deduplication, schedulers, limits, pauses, stalled jobs, jobs that steer themselves."""

from __future__ import annotations

from typing import Any

from conformance.scenarios import (
    BOOM,
    KEEP,
    OK,
    PLAIN,
    RELEASE,
    START,
    Scenario,
    add,
    clock,
    finished,
    many,
    queue,
    reach,
    sleep,
    until,
)
from conformance.scenarios_of_flows import FLOWS

HOLD = [("hold", None), *OK]
LAST: dict[str, Any] = {"deduplication": {"id": "d", "keepLastIfActive": True}}

DEDUPLICATION: dict[str, Scenario] = {
    "deduplication_simple": Scenario(
        [
            add(deduplication={"id": "d"}),
            add("b", deduplication={"id": "d"}),
            START,
            until(completed=1),
            add("c", deduplication={"id": "d"}),
            until(completed=2),
        ]
    ),
    "deduplication_of_a_failed_job": Scenario(
        [
            *finished(add(attempts=2, deduplication={"id": "d"}), failed=1),
            add("b", deduplication={"id": "d"}),
            until(failed=1, completed=1),
        ],
        {"a": [BOOM]},
    ),
    "deduplication_throttle": Scenario(
        [
            *finished(add(deduplication={"id": "d", "ttl": 60000}), completed=1),
            add("b", deduplication={"id": "d", "ttl": 60000}),
            until(completed=1),
        ]
    ),
    "deduplication_debounce": Scenario(
        [
            add(name, delay=500, deduplication={"id": "d", "ttl": 500, "extend": True, "replace": True})
            for name in ("a", "b", "c")
        ]
        + [START, until(completed=1)]
    ),
    "deduplication_keep_last_if_active": Scenario(
        [
            add(**LAST),
            START,
            reach(active=1),
            add("b", {"x": 1}, **LAST),
            add("c", {"x": 2}, **LAST),
            RELEASE,
            until(completed=2),
        ],
        {"a": [HOLD]},
    ),
}

SCHEDULED: dict[str, Scenario] = {
    "scheduler_every": Scenario(
        [
            queue("upsertJobScheduler", "nightly", {"every": 3_600_000}, {"name": "a", "data": {"x": "Zoë"}}),
            *finished(completed=1, delayed=1),
        ]
    ),
    "scheduler_every_with_options": Scenario(
        [
            queue(
                "upsertJobScheduler",
                "nightly",
                {"every": 500, "limit": 3},
                {"name": "a", "data": [1], "opts": {"priority": 3, "attempts": 2, "backoff": 10, "keepLogs": 2}},
            ),
            *finished(completed=3),
        ],
        {"a": [BOOM, OK]},
    ),
    **{
        f"scheduler_with_{name}": Scenario(
            [
                queue("upsertJobScheduler", "nightly", {"pattern": "0 0 1 1 *", "immediately": True}, template),
                *finished(completed=1, delayed=1),
            ]
        )
        for name, template in {
            "null_as_data": {"name": "a", "data": None},
            "no_name": {},
            "text_as_data": {"name": "a", "data": "x"},
            "backoff": {"name": "a", "opts": {"attempts": 2, "backoff": 10, "lifo": True}},
        }.items()
    },
    "scheduler_offset_and_dates": Scenario(
        [
            clock(3600, room=30, offset=1),
            queue(
                "upsertJobScheduler",
                "nightly",
                {"every": 3_600_000, "offset": 1000, "endDate": 4_000_000_000_000},
                {"name": "a"},
            ),
            *finished(delayed=1),
        ]
    ),
    "scheduler_pattern": Scenario(
        [
            clock(2, room=1.5),
            queue(
                "upsertJobScheduler",
                "nightly",
                {"pattern": "*/2 * * * * *", "tz": "Europe/Berlin", "limit": 2},
                {"name": "a", "data": {}, "opts": {"removeOnComplete": 5}},
            ),
            *finished(completed=2),
        ]
    ),
    "scheduler_immediately": Scenario(
        [
            queue("upsertJobScheduler", "nightly", {"pattern": "0 0 1 1 *", "immediately": True}, {"name": "a"}),
            *finished(completed=1, delayed=1),
        ]
    ),
    "scheduler_removed_meanwhile": Scenario(
        [
            queue("upsertJobScheduler", "nightly", {"every": 3_600_000}, {"name": "a"}),
            START,
            reach(active=1, delayed=1),
            queue("removeJobScheduler", "nightly"),
            RELEASE,
            until(completed=1),
        ],
        {"a": [HOLD]},
    ),
    "scheduler_changed_meanwhile": Scenario(
        [
            queue("upsertJobScheduler", "nightly", {"every": 3_600_000}, {"name": "a"}),
            *finished(completed=1, delayed=1),
            queue("upsertJobScheduler", "nightly", {"every": 7_200_000}, {"name": "b", "data": {"y": 2}}),
            until(completed=2, delayed=1),
        ]
    ),
}

STALLED = {"stalledInterval": 200}
LIMITS: dict[str, Scenario] = {
    "worker_name": Scenario(finished(add(), completed=1), worker={"name": "pod-1.example"}),
    "metrics": Scenario(
        [clock(), *finished(*many(3), add(), completed=3, failed=1)],
        {"a": [BOOM]},
        {"metrics": {"maxDataPoints": 5}},
    ),
    "limiter": Scenario(finished(*many(4), completed=4), worker={"limiter": {"max": 2, "duration": 300}}),
    "limiter_with_priorities": Scenario(
        finished(add(priority=2), add("b", priority=1), completed=2),
        worker={"limiter": {"max": 1, "duration": 200}},
    ),
    "global_rate_limit": Scenario(finished(queue("setGlobalRateLimit", 1, 200), *many(3), completed=3)),
    "global_concurrency": Scenario(
        finished(queue("setGlobalConcurrency", 1), *many(4), completed=4),
        {f"job{n}": [[("wait", 20), *OK]] for n in range(4)},
        {"concurrency": 3},
    ),
    "rate_limited_by_the_processor": Scenario(
        finished(add(), add("b"), completed=2), {"a": [[("rateLimit", 200)], OK]}
    ),
    "rate_limited_by_the_processor_with_limiter": Scenario(
        finished(add(), add("b"), completed=2),
        {"a": [[("rateLimit", 200)], OK]},
        {"limiter": {"max": 10, "duration": 100}},
    ),
    "rate_limited_with_priority": Scenario(
        finished(add(priority=1), add("b", priority=1), completed=2), {"a": [[("rateLimit", 200)], OK]}
    ),
    "delayed_by_the_processor": Scenario(
        finished(add(), add("b"), completed=2), {"a": [[("progress", 50), ("delay", 150)], OK]}
    ),
    "delayed_by_the_processor_far": Scenario(
        finished(add(attempts=2), add("b"), delayed=1, completed=1), {"a": [[("delay", 60_000)]]}
    ),
    "paused_queue": Scenario([queue("pause"), add(), add("b", delay=50), START, until(waiting=2)]),
    "paused_and_resumed": Scenario(
        [queue("pause"), add(), add("b", priority=2), START, sleep(200), queue("resume"), until(completed=2)]
    ),
    "paused_meanwhile": Scenario(
        [
            add(),
            add("b"),
            START,
            reach(active=1, waiting=1),
            queue("pause"),
            RELEASE,
            until(completed=1, waiting=1),
        ],
        {"a": [HOLD]},
    ),
    "stalled_and_recovered": Scenario(
        [add(), add("b"), ("abandon", {"lockDuration": 100, "name": "dead"}), START, until(completed=2)],
        worker=STALLED,
    ),
    "stalled_with_attempts": Scenario(
        [add(attempts=3), ("abandon", {"lockDuration": 100}), START, until(completed=1)],
        {"a": [BOOM, OK]},
        STALLED,
    ),
    "stalled_out": Scenario(
        [add(attempts=3), ("abandon", {"lockDuration": 100}), START, until(failed=1)],
        worker={**STALLED, "maxStalledCount": 0},
    ),
    "drained_queue": Scenario(
        [*many(3), START, until(completed=3), add(), until(completed=4), add("b"), until(completed=5)]
    ),
    "dead_lettered": Scenario(
        finished(add(attempts=2), add("b"), add("c", removeOnFail=True), failed=1, completed=1),
        {"a": [BOOM], "c": [[("unrecoverable", "boom")]]},
        dead_letters="dead",
    ),
    "concurrent_jobs": Scenario(
        finished(*many(4), completed=4),
        {f"job{n}": [[("wait", 50 + 50 * n), *OK]] for n in range(4)},
        {"concurrency": 4},
    ),
}

SCENARIOS: dict[str, Scenario] = {**PLAIN, **KEEP, **FLOWS, **DEDUPLICATION, **SCHEDULED, **LIMITS}

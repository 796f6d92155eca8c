"""What must be reached, as data, and whether it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.measure import Measures
from bench.scenarios import BARE, CELERY, DRAMATIQ, NODE, OFFICIAL, OURS

Medians = Mapping[tuple[str, str], Measures]
"""The medians of one server, by scenario and contender."""
FLAT = 1.2


@dataclass(frozen=True)
class Target:
    """Our ``metric`` in ``scenario``, divided by that of ``against`` (scenario, contender), or by 1.

    ``server`` is the only one it is for; without it, it is for each.
    """

    text: str
    scenario: str
    metric: str
    bound: float
    at_least: bool
    against: tuple[str, str] | None = None
    server: str | None = None

    def value(self, medians: Medians) -> float | None:
        """What was reached; None where it was not measured."""
        return self._value_of(OURS, medians)

    def at_best(self, medians: Medians) -> float | None:
        """The ``value`` that nothing around the commands would have, or else one at which Redis would never rest.

        None where it is not about jobs per second or latency.
        """
        if (self.scenario, BARE) in medians:
            return self._value_of(BARE, medians)
        ours, value = medians.get((self.scenario, OURS)), self.value(medians)
        if self.metric not in ("rate", "ideal_share") or value is None or ours is None or "redis_us" not in ours:
            return None
        return value / (ours["rate"] * ours["redis_us"] / 1e6)

    def _value_of(self, contender: str, medians: Medians) -> float | None:
        reached = _cost(medians.get((self.scenario, contender), {})).get(self.metric)
        if reached is None or self.against is None:
            return reached
        other = _cost(medians.get(self.against, {})).get(self.metric)
        return reached / other if other else None

    def met(self, value: float) -> bool:
        """Whether a value reaches the target."""
        return value >= self.bound if self.at_least else value <= self.bound


def _cost(measures: Measures) -> Measures:
    """The measures, and the CPU time a job costs worker and server together."""
    if "cpu_us" not in measures or "redis_us" not in measures:
        return measures
    return measures | {"cost_us": measures["cpu_us"] + measures["redis_us"]}


def _faster(text: str, scenario: str, bound: float, than: str = NODE) -> Target:
    return Target(text, scenario, "rate", bound, True, (scenario, than))


def _cheaper(text: str, scenario: str, bound: float, metric: str) -> Target:
    return Target(text, scenario, metric, bound, False, (scenario, NODE))


def _share(text: str, scenario: str, bound: float, metric: str = "ideal_share") -> Target:
    return Target(text, scenario, metric, bound, True)


def _at_most(text: str, scenario: str, bound: float, metric: str) -> Target:
    return Target(text, scenario, metric, bound, False)


def _flat(text: str, scenario: str, base: str) -> Target:
    return Target(text, scenario, "cost_us", FLAT, False, (base, OURS))


def _growth(server: str, bound: float) -> Target:
    text = "server's CPU a job, 10^6 waiting against 10^3"
    return Target(text, "waiting-1000000", "redis_us", bound, False, ("waiting-1000", OURS), server)


TARGETS = (
    _faster("concurrency 1, against Node", "noop-1", 1.4),
    _faster("concurrency 10, against Node", "noop-10", 2),
    _faster("concurrency 50, against Node", "noop-50", 2),
    _faster("concurrency 50, against official Python", "noop-50", 8, OFFICIAL),
    _faster("concurrency 200, against Node", "noop-200", 2),
    _faster("concurrency 200, against official Python", "noop-200", 10, OFFICIAL),
    _share("concurrency 200, of the limit", "noop-200", 0.75, "limit_share"),
    _share("concurrency 200, of the limit, job logs off", "noop-200-quiet", 0.9, "limit_share"),
    Target(
        "typed task, worker CPU a job, against a consumer", "typed-50", "cpu_us", 1.05, False, ("noop-50", OURS)
    ),
    _faster("jobs that await 10 ms, against Node", "await-10ms", 1.05),
    _share("jobs that await 10 ms, of ideal", "await-10ms", 0.8),
    _faster("10 threads, no-op, against dramatiq", "threads-10", 4, DRAMATIQ),
    _faster("50 threads, no-op, against dramatiq", "threads-50", 3, DRAMATIQ),
    _share("100 threads that sleep 10 ms, of ideal", "thread-100-10ms", 0.9),
    _faster("2 processes, no-op, against Celery's prefork", "processes-2", 5, CELERY),
    _share("2 processes that sleep 10 ms, of ideal", "process-2-10ms", 0.97),
    _at_most("2 processes, no-op, CPU of all of them, us a job", "processes-2", 100, "cpu_us"),
    _at_most("2 processes, from the start to the first job, s", "processes-2", 0.5, "first_job_s"),
    Target(
        "1 ms of Python a job, --processes 2 against 1",
        "services-2-1ms",
        "rate",
        1.9,
        True,
        ("services-1-1ms", OURS),
    ),
    _faster("1 KB of data, against Node", "data-1kb", 1.5),
    _faster("16 KB of data, against Node", "data-16kb", 1.3),
    _faster("256 KB of data, against Node", "data-256kb", 1.1),
    _share("over a 20 ms link, of ideal", "link-20ms", 0.9),
    _faster("add, one after another, against Node", "add-1", 1.5),
    _faster("add, 100 in flight, against Node", "add-100", 1.5),
    _faster("add in bulk, against Node", "add-bulk", 1.7),
    _at_most("add in bulk, Redis CPU, us a job", "add-bulk", 8, "redis_us"),
    _cheaper("add to start, p50, against Node", "latency", 0.7, "p50_ms"),
    _cheaper("add to start, p99, against Node", "latency", 0.5, "p99_ms"),
    _cheaper("worker CPU a job, concurrency 50, against Node", "noop-50", 0.4, "cpu_us"),
    _cheaper("worker CPU a job, concurrency 200, against Node", "noop-200", 0.75, "cpu_us"),
    _at_most("memory, idle, MB", "idle", 50, "rss_mb"),
    _at_most("memory after concurrency 200, MB", "noop-200", 55, "rss_mb"),
    _at_most("Redis CPU, concurrency 50, us a job", "noop-50", 20, "redis_us"),
    _cheaper("Redis CPU a job, concurrency 50, against Node", "noop-50", 1.0, "redis_us"),
    _cheaper("Redis CPU a job, concurrency 200, against Node", "noop-200", 1.0, "redis_us"),
    _flat("cost a job, 10^4 waiting against 10^3", "waiting-10000", "waiting-1000"),
    _flat("cost a job, 10^5 waiting against 10^3", "waiting-100000", "waiting-1000"),
    _flat("cost a job, 10^6 waiting against 10^3", "waiting-1000000", "waiting-1000"),
    _growth("redis", 1.15),
    _growth("valkey", 1.3),
    _flat("cost a job, 10 queues against 1", "queues-10", "queues-1"),
    _flat("cost a job, 50 queues against 1", "queues-50", "queues-1"),
    _flat("cost a job, 200 queues against 1", "queues-200", "queues-1"),
    _at_most("idle, CPU of one core", "idle", 0.01, "idle_cpu"),
    _at_most("idle with 200 queues, CPU of one core", "idle-200", 0.01, "idle_cpu"),
    _at_most("import auth_worker.queue, s", "import-queue", 0.12, "import_s"),
    _at_most("import auth_worker, s", "import-package", 0.2, "import_s"),
)

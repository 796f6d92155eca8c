"""What must be reached, as data, and whether it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.measure import Measures
from bench.scenarios import BARE, NODE, OFFICIAL, OURS

Medians = Mapping[tuple[str, str], Measures]
"""The medians of one server, by scenario and contender."""
FLAT = 1.2


@dataclass(frozen=True)
class Target:
    """Our ``metric`` in ``scenario``, divided by that of ``against`` (scenario, contender), or by 1."""

    text: str
    scenario: str
    metric: str
    bound: float
    at_least: bool
    against: tuple[str, str] | None = None

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
        if self.metric not in ("rate", "ideal_share") or ours is None or value is None:
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
    if "cpu_us" not in measures:
        return measures
    return measures | {"cost_us": measures["cpu_us"] + measures["redis_us"]}


def _faster(text: str, scenario: str, bound: float, than: str = NODE, metric: str = "rate") -> Target:
    return Target(text, scenario, metric, bound, True, (scenario, than))


def _cheaper(text: str, scenario: str, bound: float, metric: str) -> Target:
    return Target(text, scenario, metric, bound, False, (scenario, NODE))


def _share(text: str, scenario: str, bound: float, metric: str) -> Target:
    return Target(text, scenario, metric, bound, True)


def _flat(text: str, scenario: str, base: str) -> Target:
    return Target(text, scenario, "cost_us", FLAT, False, (base, OURS))


TARGETS = (
    _faster("concurrency 1, against Node", "noop-1", 1.2),
    _faster("concurrency 10, against Node", "noop-10", 1.2),
    _faster("concurrency 50, against Node", "noop-50", 1.2),
    _faster("concurrency 50, against official Python", "noop-50", 8, OFFICIAL),
    _faster("concurrency 200, against Node", "noop-200", 1.4),
    _faster("concurrency 200, against official Python", "noop-200", 10, OFFICIAL),
    _share("concurrency 200, of the limit", "noop-200", 0.75, "limit_share"),
    _share("concurrency 200, of the limit, job logs off", "noop-200-quiet", 0.9, "limit_share"),
    _faster("jobs that await 10 ms, against Node", "await-10ms", 1.05),
    _share("jobs that await 10 ms, of ideal", "await-10ms", 0.8, "ideal_share"),
    _share("threads that sleep 10 ms, of ideal", "thread-100-10ms", 0.9, "ideal_share"),
    _share("processes that sleep 10 ms, of ideal", "process-2-10ms", 0.97, "ideal_share"),
    _faster("1 KB of data, against Node", "data-1kb", 1.5),
    _faster("16 KB of data, against Node", "data-16kb", 1.3),
    _faster("256 KB of data, against Node", "data-256kb", 1.1),
    _share("over a 20 ms link, of ideal", "link-20ms", 0.9, "ideal_share"),
    _faster("add, one after another, against Node", "add-1", 1.5),
    _faster("add, 100 in flight, against Node", "add-100", 1.5),
    _faster("add in bulk, against Node", "add-bulk", 1.7),
    _cheaper("add to start, p50, against Node", "latency", 0.7, "p50_ms"),
    _cheaper("add to start, p99, against Node", "latency", 0.5, "p99_ms"),
    _cheaper("worker CPU a job, concurrency 50, against Node", "noop-50", 0.75, "cpu_us"),
    _cheaper("worker CPU a job, concurrency 200, against Node", "noop-200", 0.75, "cpu_us"),
    _cheaper("memory, idle, against Node", "idle", 1.0, "rss_mb"),
    _cheaper("memory after concurrency 200, against Node", "noop-200", 1.0, "rss_mb"),
    _cheaper("Redis CPU a job, concurrency 50, against Node", "noop-50", 1.0, "redis_us"),
    _cheaper("Redis CPU a job, concurrency 200, against Node", "noop-200", 1.0, "redis_us"),
    _flat("cost a job, 10^4 waiting against 10^3", "waiting-10000", "waiting-1000"),
    _flat("cost a job, 10^5 waiting against 10^3", "waiting-100000", "waiting-1000"),
    _flat("cost a job, 10^6 waiting against 10^3", "waiting-1000000", "waiting-1000"),
    _flat("cost a job, 10 queues against 1", "queues-10", "queues-1"),
    _flat("cost a job, 50 queues against 1", "queues-50", "queues-1"),
    _flat("cost a job, 200 queues against 1", "queues-200", "queues-1"),
    Target("idle, CPU of one core", "idle", "idle_cpu", 0.01, False),
    Target("idle with 200 queues, CPU of one core", "idle-200", "idle_cpu", 0.01, False),
)

"""What is measured, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

OURS, NODE, OFFICIAL, BARE = "ours", "node", "official", "bare"
CELERY, DRAMATIQ, RQ = "celery", "dramatiq", "rq"
EVERYBODY = (OURS, NODE, OFFICIAL)
WITH_BOUND = (*EVERYBODY, BARE)
"""Where one command is given at a time, a bare socket shows the most that anybody can reach."""


class Kind(StrEnum):
    """How a scenario is measured."""

    WORK = "work"
    ENQUEUE = "enqueue"
    LATENCY = "latency"
    IDLE = "idle"
    IMPORT = "import"


@dataclass(frozen=True)
class Scenario:
    """One line of the report.

    ``jobs`` is how many the fast contenders get, ``official_jobs`` how many the official client gets, which would
    take minutes for as many. ``backlog`` more wait behind them all the time. ``sleep_ms`` is what a job awaits;
    where ``execution`` is thread or process, our consumer is a plain ``def`` that sleeps so long. ``link_ms`` is
    the round trip of the link between worker and server. ``data_kb`` is how much data (KB) a job has beside that
    of a mail. ``in_flight`` adds are under way at a time; 0 adds in bulk. Where it is ``typed``, our consumer is a
    typed task. ``module`` is what is imported.
    """

    name: str
    title: str
    kind: Kind
    jobs: int = 0
    official_jobs: int = 0
    concurrency: int = 10
    queues: int = 1
    sleep_ms: int = 0
    execution: str = "auto"
    link_ms: int = 0
    backlog: int = 0
    data_kb: int = 0
    in_flight: int = 1
    seconds: float = 0
    typed: bool = False
    module: str = ""
    log_jobs: bool = True
    contenders: tuple[str, ...] = EVERYBODY
    quick: bool = True
    full_only: bool = False

    def jobs_of(self, contender: str) -> int:
        """How many jobs a contender gets."""
        return self.official_jobs or self.jobs if contender == OFFICIAL else self.jobs

    def shortened(self) -> Scenario:
        """The same with fewer jobs, for a sanity check."""
        return replace(
            self, jobs=self.jobs // 5, official_jobs=self.official_jobs // 5, seconds=min(self.seconds, 2)
        )


def _no_op(concurrency: int, jobs: int) -> Scenario:
    return Scenario(
        f"noop-{concurrency}",
        f"no-op jobs, concurrency {concurrency}",
        Kind.WORK,
        jobs=jobs,
        official_jobs=4000,
        concurrency=concurrency,
        contenders=WITH_BOUND if concurrency == 1 else EVERYBODY,
    )


def _plain(execution: str, concurrency: int, sleep_ms: int, jobs: int) -> Scenario:
    work = f"sleep {sleep_ms} ms" if sleep_ms else "do nothing"
    return Scenario(
        f"{execution}-{concurrency}" + (f"-{sleep_ms}ms" if sleep_ms else ""),
        f"jobs in {concurrency} {execution}{'es' * (execution == 'process') or 's'} that {work}",
        Kind.WORK,
        jobs=jobs,
        concurrency=concurrency,
        sleep_ms=sleep_ms,
        execution=execution,
        contenders=(OURS,),
    )


def _import(name: str, module: str) -> Scenario:
    return Scenario(name, f"import {module}", Kind.IMPORT, module=module, contenders=(OURS,), quick=False)


def _data(kilobytes: int, jobs: int) -> Scenario:
    return Scenario(
        f"data-{kilobytes}kb",
        f"no-op jobs with {kilobytes} KB of data, concurrency 50",
        Kind.WORK,
        jobs=jobs,
        official_jobs=min(jobs, 2000),
        concurrency=50,
        data_kb=kilobytes,
    )


def _add_data(kilobytes: int, jobs: int) -> Scenario:
    return Scenario(
        f"add-{kilobytes}kb",
        f"add, {kilobytes} KB of data each, 10 in flight",
        Kind.ENQUEUE,
        jobs=jobs,
        official_jobs=min(jobs, 2000),
        data_kb=kilobytes,
        in_flight=10,
        quick=False,
    )


def _waiting(backlog: int, *, quick: bool = True) -> Scenario:
    return Scenario(
        f"waiting-{backlog}",
        f"no-op jobs, concurrency 50, {backlog:,} more waiting",
        Kind.WORK,
        jobs=20_000,
        concurrency=50,
        backlog=backlog,
        contenders=(OURS,),
        quick=quick,
        full_only=backlog > 100_000,
    )


def _queues(queues: int, *, quick: bool = True) -> Scenario:
    return Scenario(
        f"queues-{queues}",
        f"no-op jobs over {queues} queue{'s' * (queues > 1)}, {200 // queues} at a time each",
        Kind.WORK,
        jobs=30_000,
        concurrency=200 // queues,
        queues=queues,
        contenders=(OURS,),
        quick=quick,
    )


SCENARIOS = (
    _no_op(1, 10_000),
    _no_op(10, 30_000),
    _no_op(50, 40_000),
    _no_op(200, 40_000),
    Scenario(
        "noop-200-quiet",
        "the same, job logs off",
        Kind.WORK,
        jobs=40_000,
        concurrency=200,
        log_jobs=False,
        contenders=(OURS,),
    ),
    Scenario(
        "typed-50",
        "no-op jobs of a typed task, concurrency 50",
        Kind.WORK,
        jobs=40_000,
        concurrency=50,
        typed=True,
        contenders=(OURS,),
    ),
    Scenario(
        "await-10ms",
        "jobs that await 10 ms, concurrency 100",
        Kind.WORK,
        jobs=30_000,
        official_jobs=4000,
        concurrency=100,
        sleep_ms=10,
    ),
    _plain("thread", 10, 0, 30_000),
    _plain("thread", 50, 0, 30_000),
    _plain("thread", 100, 10, 20_000),
    _plain("process", 2, 0, 10_000),
    _plain("process", 2, 10, 1_000),
    _data(1, 20_000),
    _data(16, 5000),
    _data(256, 400),
    Scenario(
        "link-20ms",
        "no-op jobs over a 20 ms link, concurrency 100",
        Kind.WORK,
        jobs=20_000,
        official_jobs=200,
        concurrency=100,
        link_ms=20,
    ),
    Scenario(
        "add-1",
        "add, one after another",
        Kind.ENQUEUE,
        jobs=10_000,
        official_jobs=5000,
        in_flight=1,
        contenders=WITH_BOUND,
    ),
    Scenario("add-100", "add, 100 in flight", Kind.ENQUEUE, jobs=30_000, official_jobs=10_000, in_flight=100),
    Scenario("add-bulk", "add in bulk, 1000 each", Kind.ENQUEUE, jobs=50_000, official_jobs=30_000, in_flight=0),
    _add_data(1, 10_000),
    _add_data(16, 4000),
    _add_data(256, 400),
    Scenario(
        "latency",
        "add to start, idle worker, a job every 5 ms",
        Kind.LATENCY,
        jobs=2000,
        contenders=WITH_BOUND,
    ),
    Scenario("idle", "idle, one queue", Kind.IDLE, seconds=6, concurrency=50),
    Scenario("idle-200", "idle, 200 queues", Kind.IDLE, seconds=6, concurrency=5, queues=200, quick=False),
    _import("import-package", "auth_worker"),
    _import("import-queue", "auth_worker.queue"),
    _import("import-service", "auth_worker.service"),
    _waiting(1_000, quick=False),
    _waiting(10_000, quick=False),
    _waiting(100_000, quick=False),
    _waiting(1_000_000, quick=False),
    _queues(1),
    _queues(10, quick=False),
    _queues(50, quick=False),
    _queues(200),
)


def chosen(only: list[str], *, quick: bool, full: bool) -> list[Scenario]:
    """The scenarios to run: those named by ``only``, or all that fit the size of the run.

    A name of several words may be cut after any of them: ``noop`` is all of ``noop-1``, ``noop-10`` and so on.
    Raises ``ValueError`` naming the scenarios when one of ``only`` fits none.
    """
    for name in only:
        if not any(_is_meant(name, scenario) for scenario in SCENARIOS):
            raise ValueError(f"no scenario {name!r}; there are {', '.join(each.name for each in SCENARIOS)}")
    picked = [
        scenario
        for scenario in SCENARIOS
        if scenario.name in only
        or (
            (not only or any(_is_meant(name, scenario) for name in only))
            and (full or not scenario.full_only)
            and (scenario.quick or not quick)
        )
    ]
    return [scenario.shortened() if quick else scenario for scenario in picked]


def _is_meant(name: str, scenario: Scenario) -> bool:
    return f"{scenario.name}-".startswith(f"{name}-")

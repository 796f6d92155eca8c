"""Who is compared in which work, and how each one is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.scenarios import CELERY, DRAMATIQ, OURS, RQ

ROOT = Path(__file__).resolve().parents[2]
THEIRS = ROOT / ".venv-rivals" / "bin"
OUR_MODULE = "bench.rivals.our_jobs"


@dataclass(frozen=True)
class Work:
    """``jobs`` jobs of ``job_ms`` each, ``parallel`` at a time.

    ``mode`` is where they run: ``processes`` or ``threads`` of one worker, or ``services``, so many whole
    processes of a service, in which an ``async def`` computes where the other jobs sleep.
    """

    mode: str
    parallel: int
    job_ms: int
    jobs: int

    @property
    def name(self) -> str:
        """That of the scenario."""
        return f"{self.mode}-{self.parallel}" + (f"-{self.job_ms}ms" if self.job_ms else "")

    @property
    def title(self) -> str:
        """What is done, for people."""
        what = "compute" if self.mode == "services" else "sleep"
        where = (
            self.mode.removesuffix("es" if self.mode == "processes" else "s") if self.parallel == 1 else self.mode
        )
        return f"{self.parallel} {where}, " + (
            f"jobs that {what} {self.job_ms} ms" if self.job_ms else "no-op jobs"
        )


@dataclass(frozen=True)
class Contender:
    """A job system. ``command`` makes the worker's from how many jobs run in parallel.

    ``module`` adds the jobs. It does the work of ``modes``. One that ``forks_per_job`` needs a worker for each
    job in parallel, and gets few jobs.
    """

    name: str
    modes: Sequence[str]
    module: str
    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    forks_per_job: bool = False

    @property
    def python(self) -> str:
        """The interpreter that has it."""
        return sys.executable if self.name == OURS else str(THEIRS / "python")


def _ours(parallel: int) -> Sequence[str]:
    return ("-m", "auth_worker", "run", f"{OUR_MODULE}:make_service")


def _our_services(parallel: int) -> Sequence[str]:
    return (*_ours(parallel), "--processes", str(parallel))


def _celery(pool: str) -> Callable[[int], Sequence[str]]:
    def command(parallel: int) -> Sequence[str]:
        celery = ("-m", "celery", "-A", "bench.rivals.celery_jobs")
        return (*celery, "worker", "--pool", pool, "-c", str(parallel))

    return command


def _dramatiq(parallel: int) -> Sequence[str]:
    return ("-m", "dramatiq", "bench.rivals.dramatiq_jobs", "--processes", "1", "--threads", str(parallel))


def _rq(parallel: int) -> Sequence[str]:
    return ("-m", "rq.cli", "worker", "--burst")


WORK = (
    Work("processes", 2, 0, 4000),
    Work("processes", 2, 10, 1000),
    Work("threads", 10, 0, 10_000),
    Work("threads", 50, 0, 10_000),
    Work("threads", 100, 10, 10_000),
    Work("services", 1, 1, 2000),
    Work("services", 2, 1, 4000),
)
CONTENDERS = (
    Contender(OURS, ("processes", "threads"), OUR_MODULE, _ours),
    Contender(OURS, ("services",), OUR_MODULE, _our_services),
    Contender(CELERY, ("processes",), "bench.rivals.celery_jobs", _celery("prefork")),
    Contender(CELERY, ("threads",), "bench.rivals.celery_jobs", _celery("threads")),
    Contender(DRAMATIQ, ("threads",), "bench.rivals.dramatiq_jobs", _dramatiq),
    Contender(RQ, ("processes",), "bench.rivals.rq_jobs", _rq, forks_per_job=True),
)

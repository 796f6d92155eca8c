"""Who is compared, and how each one is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THEIRS = ROOT / ".venv-rivals" / "bin"
PROCESSES, THREADS = 2, 100


@dataclass(frozen=True)
class Contender:
    """A job system in one mode. ``module`` adds jobs; ``worker`` is the command that ``workers`` processes run."""

    name: str
    mode: str
    module: str
    worker: Sequence[str]
    workers: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def concurrency(self) -> int:
        """How many jobs run at a time."""
        return PROCESSES if self.mode == "processes" else THREADS

    @property
    def python(self) -> str:
        """The interpreter that has it."""
        return sys.executable if self.name == "auth-worker" else str(THEIRS / "python")


def _ours(mode: str, concurrency: int) -> Contender:
    return Contender(
        "auth-worker",
        mode,
        "bench.rivals.our_jobs",
        ("-m", "auth_worker", "run", "bench.rivals.our_jobs:make_service"),
        environment={"BENCH_IN": mode, "BENCH_CONCURRENCY": str(concurrency)},
    )


def _celery(mode: str, pool: str, concurrency: int) -> Contender:
    module = "bench.rivals.celery_jobs"
    worker = ("-m", "celery", "-A", module, "worker", "--pool", pool, "-c", str(concurrency))
    return Contender("Celery", mode, module, worker)


CONTENDERS = (
    _ours("processes", PROCESSES),
    _celery("processes", "prefork", PROCESSES),
    Contender("RQ", "processes", "bench.rivals.rq_jobs", ("-m", "rq.cli", "worker", "--burst"), workers=PROCESSES),
    _ours("threads", THREADS),
    _celery("threads", "threads", THREADS),
    Contender(
        "dramatiq",
        "threads",
        "bench.rivals.dramatiq_jobs",
        ("-m", "dramatiq", "bench.rivals.dramatiq_jobs", "--processes", "1", "--threads", str(THREADS)),
    ),
)

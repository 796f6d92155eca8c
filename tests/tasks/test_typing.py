"""What mypy and pyright, both strict, say of the API: only wrong calls are errors, and each is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from support.needed import skip_or_fail

ROOT = Path(__file__).resolve().parents[2]

DEFINITIONS = """
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, assert_type

from pydantic import BaseModel

from auth_worker import JobQueue, WorkerService, flow
from auth_worker.job import Job
from auth_worker.queue import AddedJob, JobOptionsDict
from auth_worker.tasks import INJECTED, JobHandle, TaskQueue
from auth_worker.testing import perform, perform_sync

class User(BaseModel):
    name: str

class Receipt(BaseModel):
    number: int

class Smtp:
    async def send(self, to: str) -> None: ...

jobs = JobQueue("mail")
mail = TaskQueue("mail", worker_config={"concurrency": 2})
ada = User(name="ada")

@mail.resource
async def smtp() -> AsyncIterator[Smtp]:
    yield Smtp()

@mail.resource(provides=User)
async def somebody() -> AsyncIterator[Any]:
    yield ada

@mail.task
async def bare(to: str, user: User) -> Receipt:
    return Receipt(number=1)

@mail.task(attempts=5, timeout=timedelta(seconds=3), backoff=lambda attempt, error: attempt * 100)
async def with_options(to: str, copies: int = 1) -> Receipt:
    return Receipt(number=copies)

@mail.task
async def job_first(job: Job, to: str) -> str:
    return to

@mail.task(name="other")
def sync_job_first(job: Job, to: str) -> int:
    return 1

@mail.task(execution="process", dead_letter="otherDead")
def sync(number: int) -> bool:
    return True

@mail.task
async def injected(to: str, *, job: Job = INJECTED, smtp: Smtp = INJECTED) -> None:
    await smtp.send(to)

@mail.task
async def demanding(to: str, *, smtp: Smtp) -> None:
    await smtp.send(to)

WorkerService().include(mail)
"""

CORRECT = """
async def correct() -> None:
    assert_type(await bare.enqueue("a", ada), JobHandle[Receipt])
    assert_type(await bare.enqueue(to="a", user=ada), JobHandle[Receipt])
    assert_type(await with_options.options(delay=5, priority=2).enqueue("a"), JobHandle[Receipt])
    assert_type(with_options.enqueue_sync("a", copies=2), JobHandle[Receipt])
    assert_type(await job_first.enqueue("a"), JobHandle[str])
    assert_type(await job_first.enqueue(to="a"), JobHandle[str])
    assert_type(sync_job_first.enqueue_sync("a"), JobHandle[int])
    assert_type(await sync.enqueue(number=1), JobHandle[bool])
    assert_type(await injected.enqueue("a"), JobHandle[None])
    assert_type(await bare("a", ada), Receipt)
    assert_type(sync(1), bool)
    await injected("a", smtp=Smtp())
    assert_type((await bare.enqueue("a", ada)).id, str)
    bare.options(
        delay=timedelta(minutes=1), backoff={"type": "fixed", "delay": 5}, deduplication={"id": "a", "ttl": 5}
    )
    assert_type(await jobs.add("welcome", ada, delay=timedelta(seconds=1), attempts=5), AddedJob)
    assert_type((await jobs.add("welcome", {"to": "a"}, parent={"id": "1", "queue": "bull:mail"})).created, bool)
    assert_type(jobs.sync.add("welcome", remove_on_fail={"age": 60}), AddedJob)
    shared: JobOptionsDict = {"attempts": 5, "backoff": 1000}
    await jobs.add("welcome", ada, **shared)
    await jobs.add_bulk([{"name": "welcome", "data": ada, "opts": shared}, {"name": "welcome"}])
    assert_type(await bare.handle("a").result(), Receipt)
    assert_type(sync.read_result(None), bool)
    assert_type(await with_options.scheduler("a", every=5).upsert("a", copies=2), str | None)
    assert_type(await flow.add(bare.flow("a", ada).after(sync.flow(1), job_first.flow("a"))), flow.AddedFlow)
    assert_type(await perform(bare, "a", ada), Receipt)
    assert_type(await perform(injected, "a", smtp=Smtp()), None)
    assert_type(perform_sync(sync_job_first, "a"), int)
    plain: str = await jobs.add("welcome", ada)
    print(plain)
"""

WRONG = """
async def wrong(job: Job) -> None:
    await bare.enqueue("a")
    await bare.enqueue("a", "ada")
    await bare.enqueue(to="a", user=ada, more=1)
    await bare.enqueue(1, ada)
    bare.enqueue_sync(to="a")
    await with_options.enqueue("a", copies="2")
    await with_options.options(delay=5).enqueue(b"a")
    with_options.options(attempts="5")
    with_options.options(colour="red")
    await job_first.enqueue(job, "a")
    await job_first.enqueue(job=job, to="a")
    sync_job_first.enqueue_sync(1)
    await sync.enqueue("1")
    await injected.enqueue("a", job=1)
    await bare("a")
    mail.task(attempt=5)
    mail.task(dead_letter=5)
    mail.task(execution="fibre")
    await jobs.add("welcome", ada, attempst=5)
    await jobs.add("welcome", ada, delay="5m")
    await jobs.add("welcome", ada, deduplication={"ttl": 5})
    await jobs.add(5, ada)
    jobs.sync.add("welcome", ada, colour="red")
    await jobs.add_bulk([{"name": "welcome", "opts": {"attempst": 5}}])
    await jobs.add_bulk([{"data": ada}])
    bare.options(backoff={"type": "linear"})
    bare.flow("a")
    sync.flow("1")
    await sync.scheduler("a", every=5).upsert("1")
    sync.scheduler("a", cron="* * * * *")
    await perform(bare, "a", "ada")
"""

LIMITS = """
async def limits(job: Job) -> None:
    await injected.enqueue("a", job=job)
    await demanding.enqueue("a", smtp=Smtp())
"""
"""Accepted by the type, refused when it is called: a ParamSpec cannot leave out a parameter by keyword."""


PYRIGHT = ROOT / "tests" / "interop" / "node_modules" / "pyright" / "index.js"


@pytest.fixture
def pyright() -> list[str]:
    """The command that runs pyright, which ``make interop`` installs."""
    if shutil.which("node") is None or not PYRIGHT.exists():
        skip_or_fail("the tests of types need pyright", "install Node, and run `make interop`")
    return ["node", str(PYRIGHT)]


def run(command: list[str], **environment: str) -> str:
    """Run a type checker to its end and return what it has found."""
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    return ended.stdout


def complaints(found: Iterable[tuple[str, int, str]]) -> tuple[dict[int, str], dict[int, str]]:
    """The errors in correct calls and in wrong ones, by line below the definitions, of (file, line, error)."""
    of_files: dict[str, dict[int, str]] = {name: {} for name in SAMPLES}
    for file, line, text in found:
        of_files[Path(file).name][line - DEFINITIONS.count("\n")] = text
    return of_files["correct.py"], of_files["wrong.py"]


SAMPLES = {"correct.py": CORRECT + LIMITS, "wrong.py": WRONG}
WRONG_LINES = [number for number, line in enumerate(WRONG.splitlines(), 1) if line.startswith("    ")]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """The folder of the samples."""
    for name, code in SAMPLES.items():
        (tmp_path / name).write_text(DEFINITIONS + code)
    return tmp_path


@pytest.mark.timeout(600)
def test_mypy_accepts_correct_calls_and_finds_each_wrong_one(samples: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache")]  # that of `make types`, which has read the libraries
    files = [str(samples / name) for name in SAMPLES]
    said = run([*command, *cache, *files], MYPYPATH=str(ROOT / "src"), PATH="")
    errors = re.findall(r"^(.*\.py):(\d+): error: (.*)", said, re.MULTILINE)
    correct, wrong = complaints((file, int(line), text) for file, line, text in errors)
    assert correct == {}
    assert sorted(wrong) == WRONG_LINES


@pytest.mark.timeout(600)
def test_pyright_accepts_correct_calls_and_finds_each_wrong_one(samples: Path, pyright: list[str]) -> None:
    project = {"include": [*SAMPLES], "extraPaths": [str(ROOT / "src")], "typeCheckingMode": "strict"}
    (samples / "pyrightconfig.json").write_text(json.dumps(project))
    options = ["--outputjson", "--pythonpath", sys.executable, "--project", str(samples)]
    said = json.loads(run([*pyright, *options], PATH=os.environ["PATH"], HOME=str(samples)))
    errors = [each for each in said["generalDiagnostics"] if each["severity"] == "error"]
    correct, wrong = complaints(
        (each["file"], each["range"]["start"]["line"] + 1, each["message"]) for each in errors
    )
    assert correct == {}
    assert sorted(line for line in wrong if line > 0) == WRONG_LINES  # above are imports that are not used here

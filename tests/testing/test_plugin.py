"""The pytest plugin: there once the package is installed, and no burden to tests that do not use it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from auth_worker import testing

PROGRAM = """
import sys
before = set(sys.modules)
import auth_worker.testing.plugin
print(*sorted(name for name in set(sys.modules) - before if "auth_worker" in name))
"""
TESTS = """
import pytest
from auth_worker.queue import JobQueue
from auth_worker.testing import MemoryBroker

queue_of_the_module = JobQueue("first", "redis://127.0.0.1:1")

def test_without_a_loop(jobs):
    queue_of_the_module.sync.add("one")
    jobs.assert_enqueued("one")

def test_each_test_begins_anew(jobs):
    jobs.assert_not_enqueued()

def test_a_failure_shows_what_was_enqueued(jobs):
    queue_of_the_module.sync.add("one", {"to": "ada"})
    jobs.assert_enqueued("two")

@pytest.fixture
def queue():
    return "the application's own"

def test_a_fixture_of_the_application_comes_first(queue):
    assert queue == "the application's own"
"""


WITH_ANYIO = """
import asyncio
import pytest
from auth_worker.tasks import TaskQueue

numbers = TaskQueue("numbers", "redis://127.0.0.1:1")

@numbers.task
async def double(number: int) -> int:
    return 2 * number

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_in_memory(jobs):
    handle = await double.enqueue(4)
    await jobs.drain(numbers)
    assert await handle.result(5) == 8

@pytest.mark.anyio
async def test_on_a_real_broker(worker, queue):
    async with worker(numbers):
        handle = await double.enqueue(4)
        assert await handle.result(30) == 8
    assert (await queue("numbers").get(handle.id)).state == "completed"
"""


def test_it_is_installed_as_a_plugin_of_pytest() -> None:
    (plugin,) = (each for each in entry_points(group="pytest11") if each.name == "auth_worker")
    assert plugin.value == "auth_worker.testing.plugin"


def test_it_loads_nothing_before_a_test_asks_for_a_fixture() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout.split() == [
        "auth_worker",
        "auth_worker.testing",
        "auth_worker.testing.plugin",
        "auth_worker.version",
    ]


def run(folder: Path, tests: str, *plugins: str) -> subprocess.CompletedProcess[str]:
    """Run tests of an application, with these plugins of pytest besides ours and no others."""
    (folder / "test_application.py").write_text(tests)
    chosen = [argument for name in ("auth_worker.testing.plugin", *plugins) for argument in ("-p", name)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *chosen, str(folder)],
        cwd=folder,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


def test_it_works_with_anyio(tmp_path: Path) -> None:
    ended = run(tmp_path, WITH_ANYIO, "anyio")
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr


def test_it_works_where_there_is_no_other_plugin(tmp_path: Path) -> None:
    ended = run(tmp_path, TESTS)
    assert "1 failed, 3 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "no job two was enqueued; enqueued were:" in ended.stdout
    assert 'first 1 one {"to":"ada"} (wait)' in ended.stdout


@pytest.mark.parametrize("name", testing.__all__)
def test_each_public_name_is_there(name: str) -> None:
    assert getattr(testing, name).__doc__


def test_another_name_is_not() -> None:
    assert not hasattr(testing, "nobody")

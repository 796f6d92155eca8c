"""A consumer that forks, and leaves in both processes: the job is the parent's alone, and the child ends."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from auth_worker.core.outcome import Complete
from auth_worker.engine.executors import LoopExecutor, ProcessExecutor, ThreadExecutor
from auth_worker.engine.perform import perform
from auth_worker.job import Job
from support import process_consumers
from support.factories import PATIENT, a_job, a_run, some_options
from support.processors import eventually


def _has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(("then", "code"), [("return", 0), ("raise", 1), ("coroutine", 0)])
async def test_a_child_that_leaves_a_thread_s_consumer_ends(then: str, code: int) -> None:
    executor = ThreadExecutor(process_consumers.fork_and_leave, 1)
    try:
        child = await asyncio.wait_for(executor(a_job(then)), 10)
        status = await asyncio.wait_for(asyncio.to_thread(os.waitpid, child, 0), 10)
        assert os.waitstatus_to_exitcode(status[1]) == code
        assert await asyncio.wait_for(executor(a_job("no fork")), 10) == os.getpid()
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("consumer", "then"),
    [
        (process_consumers.fork_and_leave, "return"),
        (process_consumers.fork_and_leave, "raise"),
        (process_consumers.fork_in_coroutine, "return"),
    ],
)
async def test_each_job_of_a_process_gets_its_own_result(consumer: Callable[[Job], Any], then: str) -> None:
    executor = ProcessExecutor(consumer, 1)
    try:
        children = {await asyncio.wait_for(executor(a_job(then)), 30) for _ in range(5)}
        assert len(children) == 5
        assert all(type(child) is int and child > 0 for child in children)
    finally:
        executor.close()
    for child in children:
        await eventually(lambda child=child: _has_ended(child), "the end of the forked child")  # type: ignore[misc]


async def test_a_child_that_would_go_on_with_the_service_s_loop_ends() -> None:
    async def consumer(job: Job) -> int:
        child = os.fork()
        if not child:
            signal.alarm(5)  # so that it ends in any case
        await asyncio.sleep(0)
        return child

    run = a_run(a_job(), some_options({"attempts": 1}))
    outcome = await perform(run, LoopExecutor(consumer), timeout=None, max_result_bytes=PATIENT)
    assert isinstance(outcome, Complete)
    status = await asyncio.wait_for(asyncio.to_thread(os.waitpid, int(outcome.value), 0), 10)
    assert os.waitstatus_to_exitcode(status[1]) == 0

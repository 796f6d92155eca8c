"""``perform``: runs a task once without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ParamSpec, TypeVar

from auth_worker.config import Settings
from auth_worker.core.job_options import job_options
from auth_worker.core.json_codec import decode_json, encode_json
from auth_worker.core.outcome import Complete, Fail, Outcome
from auth_worker.core.policy import JobPolicy, read_options
from auth_worker.core.run import Run
from auth_worker.engine.executors import close_executor, started
from auth_worker.errors import UnrecoverableError
from auth_worker.job import Job
from auth_worker.tasks import Enqueuer
from auth_worker.tasks.executor import TaskExecutor
from auth_worker.testing.running import MemoryActions, run_job

P = ParamSpec("P")
R = TypeVar("R")


def make_job(
    *,
    id: str = "1",
    attempt: int = 1,
    max_attempts: int = 1,
    data: Any = None,
    opts: Mapping[str, Any] | None = None,
) -> Job:
    """Return a job without a broker, for ``perform`` and for calls of plain functions. Its log is dropped."""
    return Job(
        id=id,
        name="test",
        data=data,
        opts=opts or {},
        queue_name="test",
        attempt=attempt,
        max_attempts=max_attempts,
        actions=MemoryActions(),
    )


async def perform(task: Enqueuer[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run ``task`` once, as a worker would run a job of it, and return its result. No broker is needed.

    The arguments are those of ``enqueue``. They and the result are validated and converted to JSON and back; the
    task's timeout applies; ``job`` and resources are injected. Pass a resource by the name of its parameter to
    replace it by a fake, and likewise a job from ``make_job``. A plain ``def`` runs in a thread, even with
    ``execution="process"``. ``task`` may also be ``task.options(...)``.

    Raises the error by which a worker would decide: the task's own error, including ``Delay`` and the like,
    ``InvalidJobDataError``, ``JobTimeoutError``, or ``UnrecoverableError`` for a result that is not of the
    declared type.
    """
    plain = task.task
    definition, config = plain.definition, plain.queue.worker_config
    resources, jobs = definition.signature.resources, definition.signature.jobs
    given = {resources[name]: value for name, value in kwargs.items() if name in resources}
    named = [value for name, value in kwargs.items() if name in jobs]
    job: Any = named[0] if named else make_job()
    arguments = {name: value for name, value in kwargs.items() if name not in resources and name not in jobs}
    opts = read_options(encode_json(job_options(task.job_options).wire()))
    policy = JobPolicy(opts, config)
    job.name, job.queue_name, job.opts = plain.name, plain.queue.name, opts
    job.max_attempts = max(policy.attempts, job.attempt)
    job.data = decode_json(encode_json(definition.encode(args, arguments)).decode())
    job.attach(MemoryActions(asyncio.get_running_loop()))
    executor = TaskExecutor(plain.queue, 1, tasks=[plain], isolated=False, given=given)
    async with started(executor):
        run, outcome = await run_job(job, policy, executor, max_result_bytes=Settings().max_result_bytes)
    await close_executor(executor)
    result: R = definition.decode_result(result_of(run, outcome))
    return result


def perform_sync(task: Enqueuer[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """As ``perform``, for a test without an event loop."""
    return asyncio.run(perform(task, *args, **kwargs))


def result_of(run: Run, outcome: Outcome) -> Any:
    """Return the result of a run, decoded from JSON. Raises the error by which a worker would decide."""
    if isinstance(outcome, Complete):
        return decode_json(outcome.value.decode())
    if run.error is not None:
        raise run.error
    raise UnrecoverableError(outcome.reason if isinstance(outcome, Fail) else f"the run ended as {outcome!r}")

"""A user with exactly the rights that ``auth-worker doctor --acl`` prints: nothing that we do is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from auth_worker import JobQueue, Settings
from auth_worker.errors import JobCancelledError
from auth_worker.flow import Flow, FlowProducer
from support.command_line import Worker, run_here
from support.http_requests import samples_of, value
from support.polling import wait_until
from support.prepared_queues import failing, with_harness
from support.processors import DEAD, QUEUE, Harness
from support.sentinels import SERVICE, Sentinel
from support.servers import Server, free_port

PASSWORD = "s3cret-Pa55word"
APP = f"""
import asyncio
from pathlib import Path
from auth_worker import UnrecoverableError, WorkerService
service = WorkerService()
config = {{"lock_duration": 600, "stalled_interval": 200, "backoff": {{"type": "fixed", "delay": 10}}}}
@service.processor({QUEUE!r}, worker_config=config, dead_letter_queue_name={DEAD!r})
async def consume(job):
    await job.log("begun")
    await job.update_progress(50)
    if job.name == "dies" and not Path("mended").exists():
        raise UnrecoverableError("not today")
    if job.name == "retried" and job.attempt == 1:
        raise ValueError("once")
    if job.name == "hangs" and not job.stalled_count:
        await asyncio.sleep(3600)
"""


@pytest.fixture
def guarded() -> Iterator[Server]:
    with Server() as server:
        yield server


def allowed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[list[str]]:
    """The printed commands, one a server, with a password filled in."""
    assert run_here("doctor", "--acl", *arguments) == 0
    return [line.replace(">PASSWORD", f">{PASSWORD}").split() for line in capsys.readouterr().out.splitlines()]


def apply(rule: list[str], port: int) -> None:
    with Redis(port=port) as admin:
        admin.execute_command(*rule)


def nothing_was_refused(port: int) -> bool:
    with Redis(port=port) as admin:
        admin.set_response_callback("ACL LOG", lambda entries, **_: entries)  # redis-py cannot parse all of them
        return not admin.acl_log()


def test_a_service_and_its_operators_do_all_with_what_is_printed(
    folder: Path, worker: Callable[..., Worker], guarded: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Jobs, retries, a dead letter, reconciliation, a stalled job, pause, metrics, redrive, and a clean stop."""
    (rule,) = allowed(capsys)
    apply(rule, guarded.port)
    (folder / "app_of_test.py").write_text(APP)
    url = f"redis://auth-worker:{PASSWORD}@127.0.0.1:{guarded.port}/0"
    port = free_port()

    def run(*arguments: object) -> str:
        assert run_here(*arguments, "--redis", url) == 0
        return capsys.readouterr().out

    with Redis(port=guarded.port, decode_responses=True) as eyes:

        def completed(job_id: str) -> bool:
            return eyes.zscore(f"bull:{QUEUE}:completed", job_id) is not None

        with_harness(guarded.url, die_without_a_letter)
        first = worker("app_of_test:service", "--redis", url, "--http-port", port)
        wait_until(lambda: eyes.llen(f"bull:{DEAD}:wait") == 1, "the failed job has no letter")
        for name in ("hangs", "good", "retried", "dies"):
            run("add", QUEUE, name, "--job-id", name)
        wait_until(lambda: completed("good") and completed("retried"), "the good ones are not done")
        wait_until(lambda: eyes.llen(f"bull:{DEAD}:wait") == 2, "the dead one has no letter")
        first.kill()
        second = worker("app_of_test:service", "--redis", url, "--http-port", port)
        wait_until(lambda: completed("hangs"), "the stalled one was not recovered")
        run("pause", QUEUE)
        run("add", QUEUE, "good", "--job-id", "later", "--delay", "1ms")
        assert [json.loads(line)["paused"] for line in run("queues", QUEUE, "--json").splitlines()] == [True]
        run("resume", QUEUE)
        wait_until(lambda: completed("later"), "the one after the pause is not done")
        assert run_here("metrics", "--raw", "--url", f"http://127.0.0.1:{port}") == 0
        samples = samples_of(capsys.readouterr().out)
        assert value(samples, "auth_worker_queue_jobs", queue=QUEUE, state="completed") == 4
        assert value(samples, "auth_worker_dead_letter_jobs", queue=DEAD) == 2
        (folder / "mended").touch()
        run("dead", "redrive", "--all")
        wait_until(lambda: completed("dies"), "the redriven one is not done")
        run("doctor")
        assert second.end() == 0
    assert nothing_was_refused(guarded.port)
    assert PASSWORD not in first.output + second.output


def test_producers_do_all_with_what_is_printed(guarded: Server, capsys: pytest.CaptureFixture[str]) -> None:
    (rule,) = allowed(capsys)
    apply(rule, guarded.port)
    url = f"redis://auth-worker:{PASSWORD}@127.0.0.1:{guarded.port}/0"

    async def produce_all() -> None:
        async with JobQueue(QUEUE, url) as jobs, FlowProducer(url) as flows:
            added = await flows.add(Flow("parent", queue=QUEUE).after(Flow("child", queue=DEAD)))
            assert await flows.get(QUEUE, added.job.id)
            awaited = await jobs.add("n", {}, delay=60_000, deduplication={"id": "d"})
            waiting = asyncio.create_task(jobs.result(awaited, 10))
            assert await jobs.update_data(awaited, {"a": 1})
            assert await jobs.get(awaited)
            assert await jobs.deduplication_job_id("d") == awaited
            await jobs.remove_deduplication_key("d")
            await jobs.cancel(awaited)
            with pytest.raises(JobCancelledError):
                await waiting
            await jobs.upsert_job_scheduler("s", name="n", every=60_000)
            assert await jobs.job_schedulers()
            assert await jobs.run_job_scheduler("s")
            await jobs.remove_job_scheduler("s")
            await jobs.set_global_concurrency(3)
            await jobs.remove_global_concurrency()
            await jobs.set_global_rate_limit(3, 1000)
            await jobs.remove_global_rate_limit()
            await jobs.obliterate()

    asyncio.run(produce_all())
    assert nothing_was_refused(guarded.port)


async def die_without_a_letter(harness: Harness) -> None:
    """Let a job fail as under a worker that knows no dead letters."""
    processor = await harness.processor(failing, dead_letter_queue_name=None)
    await harness.jobs.add("dies", {})
    await harness.settled(1)
    await processor.close()


def produce(url: str, queue: str, **settings: Any) -> None:
    async def add_one() -> None:
        async with JobQueue(queue, url, settings=Settings(**settings)) as jobs:
            await jobs.add("n", {})

    asyncio.run(add_one())


def test_in_a_cluster_the_user_may_also_ask_who_has_a_slot(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server(config={"cluster-enabled": "yes", "cluster-port": free_port()}) as node:
        assert node.ask("CLUSTER ADDSLOTSRANGE 0 16383").startswith(b"+OK")
        wait_until(lambda: b"cluster_state:ok" in node.ask("CLUSTER INFO"), "the cluster is not formed")
        (rule,) = allowed(capsys, "--prefix", "{bull}", "--redis", f"redis+cluster://127.0.0.1:{node.port}")
        apply(rule, node.port)
        url = f"redis+cluster://auth-worker:{PASSWORD}@127.0.0.1:{node.port}"
        produce(url, QUEUE, prefix="{bull}")
        assert run_here("doctor", "--prefix", "{bull}", "--redis", url) == 0
        assert nothing_was_refused(node.port)


def test_the_sentinels_have_a_user_too(folder: Path, capsys: pytest.CaptureFixture[str], guarded: Server) -> None:
    with Sentinel(guarded, quorum=1) as sentinel:
        place = f"127.0.0.1:{sentinel.port}/{SERVICE}"
        on_redis, on_sentinel = allowed(capsys, "--redis", f"redis+sentinel://{place}")
        apply(on_redis, guarded.port)
        apply(on_sentinel, sentinel.port)
        asking = f"sentinel_username=auth-worker&sentinel_password={PASSWORD}"
        produce(f"redis+sentinel://auth-worker:{PASSWORD}@{place}?{asking}", QUEUE)
        assert nothing_was_refused(guarded.port)
        assert nothing_was_refused(sentinel.port)

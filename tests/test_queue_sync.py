"""The producer without an event loop: any thread, inside of a running loop, after a fork, with a timeout."""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from auth_worker.config import Settings
from auth_worker.core import job_options_dict
from auth_worker.core.job_options import JobOptions
from auth_worker.errors import BrokerUnavailableError, ConfigurationError
from auth_worker.flow import Flow, FlowProducer
from auth_worker.queue import JobOptionsDict, JobQueue
from auth_worker.queue.commands import QueueCommands
from auth_worker.queue.sync_queue import SyncJobQueue
from auth_worker.system import background_loop
from support.producer_clients import waiting
from support.servers import free_port

EXITING = """
import atexit
from auth_worker.config import Settings
from auth_worker.queue import JobQueue

class Late:
    def __del__(self):
        try:
            queue.sync.add("n", 2)
        except RuntimeError as error:
            print("RuntimeError:", str(error).partition(":")[0])

queue = JobQueue("work", {url!r}, settings=Settings(http_port=None))
late = Late()
atexit.register(lambda: print(queue.sync.add("n", 1).created, "in atexit"))
"""
"""A program that adds a job when its exit handlers run, and another when its modules are taken down."""


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def queue(redis_url: str) -> Iterator[JobQueue]:
    queue = JobQueue("work", redis_url, settings=Settings(http_port=None))
    yield queue
    queue.sync.close()


def test_jobs_are_added_from_any_thread(queue: JobQueue, redis: Redis) -> None:
    assert queue.sync.add("n", {"a": 1}, job_id="a").created
    assert not queue.sync.add("n", {"a": 1}, job_id="a").created
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda number: queue.sync.add("n", number), range(40)))
    ids += queue.sync.add_bulk({"name": "n", "data": number} for number in range(1500))
    assert sorted(waiting(redis)) == sorted(["a", *ids])
    connections = [client for client in redis.client_list() if "producer" in client["name"]]
    assert len(connections) == 1


async def test_both_ways_serve_at_once(queue: JobQueue, redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        ids = [await queue.add("n", 1), await asyncio.to_thread(queue.sync.add, "n", 2), queue.sync.add("n", 3)]
        assert sorted(waiting(redis)) == sorted(ids)
        await queue.close()
        assert [client for client in redis.client_list() if "producer" in client["name"]] == []
        assert queue.sync.add("n", 4).created


def test_job_schedulers_too(queue: JobQueue) -> None:
    assert queue.sync.upsert_job_scheduler("nightly", name="n", every=60_000)
    assert [each.id for each in queue.sync.job_schedulers()] == ["nightly"]
    scheduler, added = queue.sync.get_job_scheduler("nightly"), queue.sync.run_job_scheduler("nightly")
    assert scheduler is not None
    assert scheduler.every == 60_000
    assert added is not None
    assert queue.sync.remove_job_scheduler("nightly")
    assert not queue.sync.remove_job_scheduler("nightly")


def test_limits_deduplication_and_the_whole_queue_too(queue: JobQueue, redis: Redis) -> None:
    queue.sync.set_global_concurrency(2)
    queue.sync.set_global_rate_limit(10, timedelta(seconds=1))
    assert redis.hmget("bull:work:meta", "concurrency", "max", "duration") == [b"2", b"10", b"1000"]
    queue.sync.remove_global_concurrency()
    queue.sync.remove_global_rate_limit()
    assert redis.hmget("bull:work:meta", "concurrency", "max", "duration") == [None] * 3
    first = queue.sync.add("n", {}, deduplication={"id": "x"})
    assert queue.sync.deduplication_job_id("x") == first
    assert queue.sync.remove_deduplication_key("x")
    assert queue.sync.obliterate()
    assert not redis.keys("bull:work:*")


def test_what_a_queue_can_do_it_can_do_without_an_event_loop() -> None:
    asynchronous = {name for name, method in vars(QueueCommands).items() if inspect.iscoroutinefunction(method)}
    asynchronous |= {name for name, method in vars(JobQueue).items() if inspect.iscoroutinefunction(method)}
    assert {name for name in asynchronous if not name.startswith("_")} <= set(dir(SyncJobQueue))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_adds_on_a_connection_of_its_own(queue: JobQueue, redis: Redis) -> None:
    before = queue.sync.add("n", 1)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if queue.sync.add("n", 2, job_id="child").created else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    after = queue.sync.add("n", 3)
    assert sorted(waiting(redis)) == sorted([before, "child", after])


def test_it_gives_up_after_the_time_of_a_web_request() -> None:
    queue = JobQueue("work", f"redis://127.0.0.1:{free_port()}", sync_timeout=0.2)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1"):
        queue.sync.add("n", 1)
    assert time.monotonic() - began < 1.5
    assert JobQueue("work", "redis://127.0.0.1").sync.timeout == 2.0


def test_the_background_loop_itself_is_told_to_await(queue: JobQueue) -> None:
    async def inside() -> str:
        with pytest.raises(RuntimeError, match="await the asynchronous method"):
            queue.sync.add("n", 1)
        return threading.current_thread().name

    assert queue.sync.run(inside()) == "auth-worker-background"


def test_a_call_that_can_start_no_thread_is_told_so_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    background_loop.stop()
    queue = JobQueue("work", f"redis://127.0.0.1:{free_port()}")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't create new thread"):
            queue.sync.add("n", 1)
    gc.collect()  # an open loop, or a coroutine that nobody awaits, would fail the test
    with pytest.raises(BrokerUnavailableError):
        queue.sync.add("n", 1)


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="Python 3.12.1 starts no thread in exit handlers")
def test_a_call_while_python_exits_is_told_so(redis_url: str, tmp_path: Path) -> None:
    script = tmp_path / "exiting.py"
    script.write_text(EXITING.format(url=redis_url))
    ran = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, check=False, timeout=30
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == ["True in atexit", "RuntimeError: Python is exiting"]


def test_a_call_that_hangs_ends_with_an_error_that_names_the_queue(queue: JobQueue) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"queue work: no confirmation within 1\.05 s"):
        queue.sync.run(asyncio.sleep(60), 0.05)


def test_errors_are_those_of_the_queue(queue: JobQueue) -> None:
    with pytest.raises(ConfigurationError, match="delay"):
        queue.sync.add("n", 1, delay=-1)


def test_the_type_says_of_every_option_that_is_checked_what_it_does() -> None:
    (options,) = (
        node
        for node in ast.parse(Path(job_options_dict.__file__).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "JobOptionsDict"
    )
    told = [
        name.target.id
        for name, text in zip(options.body, options.body[1:], strict=False)
        if isinstance(name, ast.AnnAssign) and isinstance(name.target, ast.Name) and isinstance(text, ast.Expr)
    ]
    assert sorted(told) == sorted(JobOptions.model_fields) == sorted(JobOptionsDict.__annotations__)


def test_a_result_that_does_not_come_is_a_timeout_as_for_who_awaits_it(queue: JobQueue) -> None:
    job_id = queue.sync.add("n", {})
    with pytest.raises(TimeoutError):
        queue.sync.result(job_id, timeout=0.05)


def test_flows_are_added_and_read_without_an_event_loop(redis_url: str, redis: Redis) -> None:
    flows = FlowProducer(redis_url)
    children = [Flow("child", queue="children", job_id=f"child{number}") for number in (1, 2)]
    added = flows.sync.add(Flow("parent", queue="parents", children=children))
    assert [each.job for each in added.children] == ["child1", "child2"]
    tree = flows.sync.get("parents", added.job)
    assert tree is not None
    assert [each.job.id for each in tree.children] == ["child1", "child2"]
    assert len(flows.sync.add_bulk(Flow("parent", queue="parents") for _ in range(3))) == 3
    assert redis.llen("bull:parents:wait") == 3
    asyncio.run(flows.close())
    assert flows.sync.get("parents", "nobody") is None
    flows.sync.close()


def test_flows_too_give_up_after_the_time_of_a_web_request() -> None:
    flows = FlowProducer(f"redis://127.0.0.1:{free_port()}", sync_timeout=0.2)
    with pytest.raises(BrokerUnavailableError):
        flows.sync.add(Flow("parent", queue="parents"))

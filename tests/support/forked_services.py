"""Programs in which a process with a running service, or with a log of ours, forks.

``forked_services.py SCENARIO URL [FILE]``; what the test looks at is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from functools import partial
from typing import Any

from auth_worker import Job, Settings, WorkerService
from auth_worker.errors import ConfigurationError
from auth_worker.observability.logs import configure_logging, open_log
from auth_worker.observability.logs.sink import sink_of
from support.forking import Child, run

URL = sys.argv[2]


def a_service(consumer: Any, **settings: Any) -> WorkerService:
    service = WorkerService(URL, settings=Settings(http_port=0, **settings))
    service.register_processor(queue_name="work", processor=consumer, worker_config={"lock_duration": 2000})
    return service


async def do_nothing(job: Job) -> None:
    """A consumer that succeeds."""


def a_running_service() -> Any:
    """The child has no part of the service and cannot use it; it holds the port no longer than its parent."""
    service = a_service(do_nothing)

    def in_child() -> dict[str, Any]:
        found: dict[str, Any] = {"state": service.state, "threads": threading.active_count()}
        found["running"] = [processor.is_running for processor in service.get_processors()]
        found["health"] = run(service.get_health()).reasons
        started = time.monotonic()
        found["stopped"] = run(service.stop())
        found["quick"] = time.monotonic() - started < 1
        try:
            run(service.start())
        except ConfigurationError as error:
            found["start"] = str(error)
        return found

    async def main() -> Any:
        async with service:
            child = Child(in_child)
            found = await asyncio.to_thread(child.result)
            port = service.http_port
            lingering = Child(partial(time.sleep, 2))
            with await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/livez") as answer:
                found["livez"] = answer.status
            health = await service.get_health()
            found["parent"] = health.reasons
        with socket.socket() as probe:
            found["port is free"] = probe.connect_ex(("127.0.0.1", port or 0)) != 0
        lingering.result()
        return found

    return run(main())


def a_service_made_before_the_fork() -> Any:
    """Two children start the service that their parent only created: each works, under its own name."""
    service = a_service(do_nothing)

    async def work() -> str:
        async with service:
            assert (await service.get_health()).healthy
            return service.runtime.worker_name

    return [child.result() for child in [Child(lambda: run(work())) for _ in range(2)]]


def a_job_in_a_forked_child() -> Any:
    """A consumer's child cannot reach its job's queue, and gets an error at once."""
    from auth_worker.queue import JobQueue

    told: list[str] = []
    done = threading.Event()

    def consumer(job: Job) -> None:
        def in_child() -> str:
            try:
                job.sync.log("from the child")
            except RuntimeError as error:
                return str(error)
            return "it was logged"

        job.sync.log("from the parent")
        told.append(Child(in_child).result())
        done.set()

    async def main() -> Any:
        async with a_service(consumer):
            job_id = await JobQueue("work", URL).add("send", 1)
            await asyncio.to_thread(done.wait, 20)
        import redis

        logs = redis.Redis.from_url(URL).lrange(f"bull:work:{job_id}:logs", 0, -1)
        return told + [row.decode() for row in logs]  # type: ignore[union-attr]

    return run(main())


def logs_of_children() -> Any:
    """Parents and children log all the time, while the writer's thread is busy."""
    stream = open(sys.argv[3], "w")  # noqa: SIM115 - left to the end of the process, as stderr is
    log = open_log(None, Settings(http_port=None, log_format="json"), stream)
    stop = threading.Event()

    def chatter() -> None:
        number = 0
        while not stop.is_set():
            log.logger.info("parent", number=number, padding="x" * 500)
            number += 1
            time.sleep(0.0005)

    def in_child(name: str) -> str:
        for number in range(50):
            log.logger.info("child", name=name, number=number)
        log.drain()
        return name

    thread = threading.Thread(target=chatter)
    thread.start()
    names = [Child(lambda number=number: in_child(str(number))).result() for number in range(20)]  # type: ignore[misc]
    stop.set()
    thread.join()
    log.drain()
    return names


def logs_of_multiprocessing() -> Any:
    """The processes of multiprocessing exit without ``atexit``, and without waiting for daemon threads."""
    stream = open(sys.argv[3], "w")  # noqa: SIM115 - left to the end of the process, as stderr is
    configure_logging(Settings(http_port=None, log_format="json"), stream)
    logging.getLogger("app").warning("parent")
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=logging.getLogger("app").warning, args=(f"child {number}",)) for number in range(5)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(20)
        assert child.exitcode == 0
    sink_of(stream).drain()
    return None


def logs_of_a_child_that_exits() -> Any:
    stream = open(sys.argv[3], "w")  # noqa: SIM115 - left to the end of the process, as stderr is
    log = open_log(None, Settings(http_port=None, log_format="json"), stream)
    log.logger.info("parent")

    def in_child() -> None:
        log.logger.info("child")

    Child(in_child, leave=sys.exit).result()
    log.drain()
    return None


def logs_while_the_stream_is_stuck() -> Any:
    """The writer is writing to a full pipe when the process forks; the child's reader continues."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    log = open_log(None, Settings(http_port=None, log_format="json"), stream)
    log.logger.info("parent", padding="x" * 1_000_000)
    while not os.read(reading, 1):
        pass
    time.sleep(0.2)  # the pipe is full now: nobody reads it
    started = time.monotonic()

    def in_child() -> None:
        log.logger.info("child")
        log.sink.drain(timeout=20)  # type: ignore[union-attr]

    child = Child(in_child)
    assert time.monotonic() - started < 5, "the fork did not wait for the reader"
    text = b""
    while b'"child"' not in text or b'"parent"' not in text:
        text += os.read(reading, 65536)
    child.result()
    log.drain()
    return [text.count(b'"child"'), text.count(b'"parent"')]


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))

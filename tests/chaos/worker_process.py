"""A worker process: a real service with the consumer of the chaos tests, as its options say."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from auth_worker import Settings, WorkerService
from auth_worker.cli.async_runner import run_async
from auth_worker.events import ProcessorChanged
from auth_worker.observability.logs import configure_logging
from chaos.consumer import RUN_LOG, consumer_for, plain_consumer_for, process_consumer, unwritten_consumer_for
from chaos.fault_points import crash_at, switch_off
from chaos.run_log import RunLog
from chaos.worker_options import QUICK, WorkerOptions

CLOCK_JUMP_S, CLOCK_TURN_S = 3600.0, 0.1


def work(options: WorkerOptions) -> int:
    """Work until a signal; returns the exit code."""
    run_log = RunLog(Path(options.run_log))
    if options.crash:
        crash_at(options.crash, options.crash_at, run_log)
    if options.off:
        switch_off(options.off)
    if options.clock_jumps:
        _let_the_clock_jump()
    configure_logging(_settings(options))
    return run_async(_serve(options, run_log))


async def _serve(options: WorkerOptions, run_log: RunLog) -> int:
    service = _service(options, run_log)
    unready = set(options.queues)

    def changed(event: ProcessorChanged) -> None:
        unready.discard(event.queue)
        if not unready and event.state == "ready":
            asyncio.get_running_loop().call_soon(lambda: run_log.write("ready", pid=os.getpid()))

    service.runtime.bus.subscribe(ProcessorChanged, changed)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _write_vitals, run_log, service)
    return await service.run()


def _write_vitals(run_log: RunLog, service: WorkerService) -> None:
    """What only the process itself knows: the tasks of both loops, and how many blocks of memory it uses."""
    gc.collect()
    loops = (asyncio.get_running_loop(), service.runtime.watch_loop._loop)
    tasks = sum(len(asyncio.all_tasks(loop)) for loop in loops)
    run_log.write("vitals", pid=os.getpid(), tasks=tasks, blocks=sys.getallocatedblocks())


def _service(options: WorkerOptions, run_log: RunLog) -> WorkerService:
    service = WorkerService(options.url, settings=_settings(options))
    for queue in options.queues:
        consumer: Any = consumer_for(run_log, options.url)
        if options.plain:
            consumer = plain_consumer_for(run_log)
        elif options.processes:
            os.environ[RUN_LOG] = options.run_log
            consumer = process_consumer
        elif options.unwritten:
            consumer = unwritten_consumer_for(run_log, options.url)
        service.register_processor(
            queue_name=queue,
            processor=consumer,
            worker_config={**QUICK, **options.config},
            execution="process" if options.processes else "auto",
            dead_letter_queue_name=options.dead and options.dead.replace("*", queue),
            partitions=options.partitions,
        )
    return service


def _settings(options: WorkerOptions) -> Settings:
    defaults: dict[str, Any] = {
        "http_port": None,
        "reconcile_interval": 0.3,
        "shutdown_timeout": 10,
        "startup_timeout": 20,
        "log_format": "json",
    }
    return Settings(**{**defaults, **options.settings})


def _let_the_clock_jump() -> None:
    """The wall clock of this process goes an hour forth, then an hour back, then right again, and so on."""
    real, began = time.time, time.monotonic()

    def jumping() -> float:
        turn = int((time.monotonic() - began) / CLOCK_TURN_S) % 3
        return real() + (0.0, CLOCK_JUMP_S, -CLOCK_JUMP_S)[turn]

    time.time = jumping

"""A worker process: a real service with the consumer of the chaos tests, as its orders say."""

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
from auth_worker.cli.loop import run_async
from auth_worker.events import ProcessorChanged
from auth_worker.logs import configure_logging
from chaos.consumer import consumer_for, plain_consumer_for, unwritten_consumer_for
from chaos.faults import crash_at, switch_off
from chaos.ledger import Ledger
from chaos.orders import QUICK, Orders

CLOCK_JUMP_S, CLOCK_TURN_S = 3600.0, 0.1


def work(orders: Orders) -> int:
    """Work until a signal; returns the exit code."""
    ledger = Ledger(Path(orders.ledger))
    if orders.crash:
        crash_at(orders.crash, orders.crash_at, ledger)
    if orders.off:
        switch_off(orders.off)
    if orders.clock_jumps:
        _let_the_clock_jump()
    configure_logging(_settings(orders))
    return run_async(_serve(orders, ledger))


async def _serve(orders: Orders, ledger: Ledger) -> int:
    service = _service(orders, ledger)
    unready = set(orders.queues)

    def changed(event: ProcessorChanged) -> None:
        unready.discard(event.queue)
        if not unready and event.state == "ready":
            asyncio.get_running_loop().call_soon(lambda: ledger.write("ready", pid=os.getpid()))

    service.runtime.bus.subscribe(ProcessorChanged, changed)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _write_vitals, ledger, service)
    return await service.run()


def _write_vitals(ledger: Ledger, service: WorkerService) -> None:
    """What only the process itself knows: the tasks of both loops, and how many blocks of memory it uses."""
    gc.collect()
    loops = (asyncio.get_running_loop(), service.runtime.watch._loop)
    tasks = sum(len(asyncio.all_tasks(loop)) for loop in loops)
    ledger.write("vitals", pid=os.getpid(), tasks=tasks, blocks=sys.getallocatedblocks())


def _service(orders: Orders, ledger: Ledger) -> WorkerService:
    service = WorkerService(orders.url, settings=_settings(orders))
    for queue in orders.queues:
        consumer: Any = consumer_for(ledger, orders.url)
        if orders.plain:
            consumer = plain_consumer_for(ledger)
        elif orders.unwritten:
            consumer = unwritten_consumer_for(ledger, orders.url)
        service.register_processor(
            queue_name=queue,
            processor=consumer,
            worker_config={**QUICK, **orders.config},
            dead_letter_queue_name=orders.dead and orders.dead.replace("*", queue),
        )
    return service


def _settings(orders: Orders) -> Settings:
    defaults: dict[str, Any] = {
        "http_port": None,
        "reconcile_interval": 0.3,
        "shutdown_timeout": 10,
        "startup_timeout": 20,
        "log_format": "json",
    }
    return Settings(**{**defaults, **orders.settings})


def _let_the_clock_jump() -> None:
    """The wall clock of this process goes an hour forth, then an hour back, then right again, and so on."""
    real, began = time.time, time.monotonic()

    def jumping() -> float:
        turn = int((time.monotonic() - began) / CLOCK_TURN_S) % 3
        return real() + (0.0, CLOCK_JUMP_S, -CLOCK_JUMP_S)[turn]

    time.time = jumping

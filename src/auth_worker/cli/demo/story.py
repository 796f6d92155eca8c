"""What the demo does, from the empty folder to the numbers; what it looks like stands in ``report``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from auth_worker.broker.address import Address
from auth_worker.broker.dead_letters import DeadLetters
from auth_worker.broker.embedded import EmbeddedBroker
from auth_worker.broker.link import Link
from auth_worker.broker.queue_view import QueueView
from auth_worker.cli.demo.jobs import Plan
from auth_worker.cli.demo.mail_server import DemoMailServer
from auth_worker.config import QUEUE_NAMES, Settings
from auth_worker.consumers.email import create_email_job_consumer
from auth_worker.dead_letter import Letter
from auth_worker.email import SmtpEmailService
from auth_worker.logs import open_log
from auth_worker.queue import JobQueue
from auth_worker.report import Metrics, ServiceHealth
from auth_worker.service import WorkerService

PRODUCT = "Acme"
CONCURRENCY = 10
DEADLINE_S = 20.0
"""How long the jobs may take; what is not done then shows in the numbers."""
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Ending:
    """Everything that was read back when the jobs were done."""

    health: ServiceHealth
    metrics: Metrics
    counts: dict[str, int]
    letters: list[Letter]
    took_s: float


class Stage:
    """The parts of the demo, all of them running."""

    def __init__(self, service: WorkerService, queue: JobQueue, link: Link, mail: DemoMailServer) -> None:
        prefix = service.settings.prefix
        self.service = service
        self.mail = mail
        self._queue = queue
        self._link = link
        self._jobs = QueueView(link, prefix, QUEUE_NAMES.EMAIL)
        self._dead = DeadLetters(link, prefix, QUEUE_NAMES.EMAIL_DEAD_LETTER)

    async def broker_version(self) -> str:
        """The version of the server, by its own account."""
        facts = (await self._link.execute("INFO", "server")).decode().splitlines()
        return str(next(fact.partition(":")[2] for fact in facts if fact.startswith("valkey_version:")))

    async def add(self, plan: Plan) -> list[str]:
        """Put the plan's jobs on the queue; the service must be paused, so that the broken ones are in time."""
        ids = await self._queue.add_bulk(job.entry for job in plan.jobs)
        for job_id, job in zip(ids, plan.jobs, strict=True):
            if job.stored is not None:
                await self._jobs.overwrite_data(job_id, job.stored)
        return ids

    async def work(self, total: int, on_progress: Callable[[dict[str, int]], None]) -> float:
        """Let the service work until ``total`` jobs have ended, or ``DEADLINE_S`` is over; returns the s taken."""
        started = time.monotonic()
        await self.service.resume_all()
        while True:
            counts = await self._jobs.counts()
            on_progress(counts)
            took = time.monotonic() - started
            if counts["completed"] + counts["failed"] >= total or took > DEADLINE_S:
                return took
            await asyncio.sleep(LOOK_EVERY_S)

    async def ending(self, took_s: float) -> Ending:
        """Read everything back: from the service, and from the broker."""
        return Ending(
            health=await self.service.get_health(),
            metrics=self.service.get_metrics()[0].metrics,
            counts=await self._jobs.counts(),
            letters=await self._dead.page(limit=100),
            took_s=took_s,
        )


@asynccontextmanager
async def stage(folder: Path, mail: DemoMailServer, log: TextIO) -> AsyncIterator[Stage]:
    """Set everything up in ``folder``, the service paused; and take it down again, in reverse order.

    Raises ``ConfigurationError`` or ``BrokerError``.
    """
    settings = Settings(
        redis_url=None,
        prefix="bull",
        state_dir=folder,
        http_port=None,
        shutdown_timeout=3,
        log_level="INFO",
        log_format="json",
    )
    sender = SmtpEmailService("127.0.0.1", port=mail.port, security="none", connections=CONCURRENCY)
    own_log = open_log(None, settings, log)
    service = WorkerService(settings=settings, logger=own_log.logger)
    processor = service.register_processor(
        queue_name=QUEUE_NAMES.EMAIL,
        processor=create_email_job_consumer(
            sender, from_address=f"{PRODUCT} <no-reply@acme.example>", product_name=PRODUCT, logger=own_log.logger
        ),
        worker_config={"concurrency": CONCURRENCY},
        dead_letter_queue_name=QUEUE_NAMES.EMAIL_DEAD_LETTER,
    )
    await processor.pause()
    broker = EmbeddedBroker(folder)
    link = Link(Address.of(await asyncio.to_thread(broker.start)), name="demo")
    try:
        await link.start(10)
        async with service, JobQueue(QUEUE_NAMES.EMAIL, settings=settings) as queue:
            yield Stage(service, queue, link, mail)
    finally:
        await link.stop()
        await sender.close()
        await asyncio.to_thread(broker.stop)
        own_log.drain()

"""Sets up the demo: broker, mail server, service and producer, in a folder of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from auth_worker.brokers.opening import BrokerSource, operator_broker
from auth_worker.cli.demo.jobs import Plan
from auth_worker.cli.demo.mail_server import DemoMailServer
from auth_worker.config import QUEUE_NAMES, Settings
from auth_worker.consumers.email import create_email_job_consumer
from auth_worker.core.dead_letter import DeadLetter
from auth_worker.core.ports.operator import OperatorBroker
from auth_worker.core.report import Metrics, ServiceHealth
from auth_worker.email import SmtpEmailService
from auth_worker.observability.logs import open_log
from auth_worker.queue import JobQueue
from auth_worker.service import WorkerService

PRODUCT = "Acme"
CONCURRENCY = 10
DEADLINE_S = 20.0
"""How long (s) the jobs may take. Those that are not done by then show in the numbers."""
POLL_S = 0.05


@dataclass(frozen=True)
class Outcome:
    """What the service and the broker report once the jobs are done."""

    health: ServiceHealth
    metrics: Metrics
    counts: dict[str, int]
    letters: list[DeadLetter]
    took_s: float


class DemoEnvironment:
    """The running parts of the demo."""

    def __init__(
        self, service: WorkerService, queue: JobQueue, broker: OperatorBroker, mail: DemoMailServer
    ) -> None:
        self.service = service
        self.mail = mail
        self._queue = queue
        self._broker = broker
        self._jobs = broker.queue(QUEUE_NAMES.EMAIL)
        self._dead = broker.dead_letters(QUEUE_NAMES.EMAIL_DEAD_LETTER)

    async def broker_version(self) -> str:
        """Return the name and version that the server reports."""
        return await self._broker.software()

    async def add(self, plan: Plan) -> list[str]:
        """Add the plan's jobs. The service must be paused, so that invalid data is stored before a job runs."""
        ids = await self._queue.add_bulk(job.entry for job in plan.jobs)
        for job_id, job in zip(ids, plan.jobs, strict=True):
            if job.stored is not None:
                await self._broker.job_changes(QUEUE_NAMES.EMAIL).overwrite_data(job_id, job.stored)
        return list(ids)

    async def work(self, total: int, on_progress: Callable[[dict[str, int]], None]) -> float:
        """Let the service work until ``total`` jobs have ended or ``DEADLINE_S`` is over. Returns the time (s)."""
        started = time.monotonic()
        await self.service.resume_all()
        while True:
            counts = await self._jobs.counts()
            on_progress(counts)
            took = time.monotonic() - started
            if counts["completed"] + counts["failed"] >= total or took > DEADLINE_S:
                return took
            await asyncio.sleep(POLL_S)

    async def outcome(self, took_s: float) -> Outcome:
        """Read the outcome from the service and the broker."""
        found = [await self._dead.read(letter_id) for letter_id in await self._dead.ids(0, 100)]
        return Outcome(
            health=await self.service.get_health(),
            metrics=self.service.get_metrics()[0].metrics,
            counts=await self._jobs.counts(),
            letters=[letter for letter in found if letter is not None],
            took_s=took_s,
        )


@asynccontextmanager
async def demo_environment(
    folder: Path, mail: DemoMailServer, log: TextIO, *, serve: bool = False
) -> AsyncIterator[DemoEnvironment]:
    """Set everything up in ``folder``, with the service paused; afterwards shut it down in reverse order.

    With ``serve`` the service has an HTTP port, any that is free.

    Raises ``ConfigurationError`` or ``BrokerError``.
    """
    settings = Settings(
        redis_url=None,
        prefix="bull",
        state_dir=folder,
        http_port=0 if serve else None,
        http_host="127.0.0.1",
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
    source = BrokerSource(None, settings)
    broker = operator_broker(await source.start(), settings.prefix)
    try:
        await broker.start(10)
        async with service, JobQueue(QUEUE_NAMES.EMAIL, settings=settings) as queue:
            yield DemoEnvironment(service, queue, broker, mail)
    finally:
        await broker.stop()
        await sender.close()
        await source.stop()
        own_log.drain()

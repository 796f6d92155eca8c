"""Tasks of an application whose tests are tried: at a Redis that nobody answers at."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from datetime import date

from pydantic import BaseModel

from auth_worker.flow import FlowProducer
from auth_worker.job import Job
from auth_worker.queue import JobQueue
from auth_worker.tasks import INJECTED, TaskQueue

NOWHERE = "redis://127.0.0.1:1"
mail = TaskQueue(
    "mailQueue", NOWHERE, worker_config={"attempts": 3}, dead_letter_queue_name="mailDead", timeout=2.0
)
images = JobQueue("imageQueue", NOWHERE, default_options={"attempts": 7}, timeout=2.0)
flows = FlowProducer(NOWHERE, timeout=2.0)


class User(BaseModel):
    name: str
    born: date


class Receipt(BaseModel):
    message_id: str
    attempt: int


class MailServer:
    """Counts how often one was opened and closed."""

    opened = closed = 0

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, to: str, text: str) -> str:
        self.sent.append(f"{to}: {text}")
        return f"<{len(self.sent)}@example.org>"


@mail.resource
async def mail_server() -> AsyncIterator[MailServer]:
    MailServer.opened += 1
    yield MailServer()
    MailServer.closed += 1


@mail.task(attempts=5, timeout=30)
async def welcome(to: str, user: User, *, job: Job = INJECTED, server: MailServer = INJECTED) -> Receipt:
    message_id = await server.send(to, f"Welcome, {user.name}, born in {user.born.year}!")
    await job.log(f"attempt {job.attempt}")
    return Receipt(message_id=message_id, attempt=job.attempt)


@mail.task
def count_words(job: Job, text: str) -> int:
    job.sync.log(threading.current_thread().name)
    return len(text.split())


@mail.task(execution="process", timeout=60)
def find_factors(number: int) -> list[int]:
    return [each for each in range(2, number) if number % each == 0]


ADA = User(name="Ada", born=date(1815, 12, 10))

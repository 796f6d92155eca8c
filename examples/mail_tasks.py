"""Typed tasks: what the web application enqueues and the worker runs. Neither loads the other's modules.

The worker: auth-worker run examples.mail_worker:service
Enqueue:    python -m examples.mail_client ada@example.org
In Node:    queue.add("welcome", {to: "ada@example.org", user: {name: "Ada", born: "1815-12-10"}})
"""

from collections.abc import AsyncIterator
from datetime import date

from pydantic import BaseModel, EmailStr

from auth_worker.job import Job
from auth_worker.tasks import INJECTED, TaskQueue

mail = TaskQueue("mailQueue", worker_config={"concurrency": 20}, dead_letter_queue_name="mailDead")


class User(BaseModel):
    """Who gets the mail."""

    name: str
    born: date


class Receipt(BaseModel):
    """The id of an accepted mail, and the attempt that sent it."""

    message_id: str
    attempt: int


class MailServer:
    """Stands in for the client of your mail server."""

    async def send(self, to: str, text: str) -> str:
        """Send ``text`` and return the id of the message."""
        return f"<{len(to)}-{len(text)}@example.org>"


@mail.resource
async def mail_server() -> AsyncIterator[MailServer]:
    """Open the connection once per process; the code after the yield closes it."""
    yield MailServer()


@mail.task(attempts=5, timeout=30)
async def welcome(to: EmailStr, user: User, *, job: Job = INJECTED, server: MailServer = INJECTED) -> Receipt:
    """Welcome a new user."""
    message_id = await server.send(to, f"Welcome, {user.name}!")
    return Receipt(message_id=message_id, attempt=job.attempt)


@mail.task
def count_words(text: str) -> int:
    """Count words. Work that blocks runs in a thread."""
    return len(text.split())


@mail.task(execution="process", timeout=60)
def find_factors(number: int) -> list[int]:
    """Find the prime factors. CPU-bound work runs in a process, which is killed when it takes too long."""
    factors, candidate = [], 2
    while candidate * candidate <= number:
        while number % candidate == 0:
            factors.append(candidate)
            number //= candidate
        candidate += 1
    return [*factors, number]

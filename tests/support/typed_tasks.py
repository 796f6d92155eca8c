"""A TaskQueue with every kind of task, in a module that worker processes can import."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from typing_extensions import TypedDict

from auth_worker.job import Job
from auth_worker.tasks import INJECTED, TaskQueue

QUEUE, DEAD = "taskQueue", "taskDead"
URL = os.environ.get("TYPED_TASKS_URL", "redis://127.0.0.1:1")


class Colour(Enum):
    RED = "red"


@dataclass
class Size:
    width: int
    height: int
    icon: bytes = b""


class Options(TypedDict):
    fast: bool
    seed: bytes


class User(BaseModel):
    name: str
    born: datetime


class Receipt(BaseModel):
    number: int
    at: datetime


class Journal:
    """A resource that writes down what happens to it, in the file ``JOURNAL`` names."""

    def note(self, text: str) -> None:
        path = os.environ.get("TYPED_TASKS_JOURNAL")
        if path:
            with Path(path).open("a") as file:
                file.write(f"{text} {os.getpid()}\n")


class Counter(Journal):
    count = 0


queue = TaskQueue(QUEUE, URL, worker_config={"concurrency": 4}, dead_letter_queue_name=DEAD)


@queue.resource
async def journal() -> AsyncIterator[Journal]:
    opened = Journal()
    opened.note("open journal")
    yield opened
    opened.note("close journal")


@queue.resource
async def counter() -> AsyncIterator[Counter]:
    opened = Counter()
    opened.note("open counter")
    yield opened
    opened.note("close counter")


@queue.task
async def greet(name: str, times: int = 1) -> str:
    return ", ".join([f"hello {name}"] * times)


@queue.task(attempts=2, backoff=1, remove_on_complete=7, priority=3)
async def convert(
    user: User,
    size: Size,
    options: Options,
    at: datetime,
    wait: timedelta,
    id: UUID,
    price: Decimal,
    colour: Colour,
    raw: bytes,
    many: list[User] | None = None,
) -> dict[str, Any]:
    """Gives back the types it got, and the values."""
    got = [user, size, options["seed"], at, wait, id, price, colour, raw]
    return {"types": [type(each).__name__ for each in got], "price": price, "at": at, "size": size, "many": many}


@queue.task
def in_thread(number: int, job: Job = INJECTED, counter: Counter = INJECTED) -> Receipt:
    counter.count += number
    job.sync.log(f"count {counter.count}")
    return Receipt(number=counter.count, at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@queue.task(execution="process", timeout=20)
def in_process(size: Size, *, job: Job = INJECTED, journal: Journal = INJECTED) -> dict[str, Any]:
    journal.note("run")
    return {"pid": os.getpid(), "area": size.width * size.height, "id": job.id, "size": size}


@queue.task(name="other name", execution="process")
def also_in_process(text: str) -> str:
    return text.upper()

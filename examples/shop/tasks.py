"""The tasks: what the web application enqueues and the worker runs."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Annotated

import aiosmtplib
from examples.shop.images import read_ppm
from pydantic import BaseModel, EmailStr, Field

from auth_worker import Job, UnrecoverableError
from auth_worker.tasks import INJECTED, TaskQueue

mail = TaskQueue("shopMail", worker_config={"concurrency": 20}, dead_letter_queue_name="shopMailDead")
images = TaskQueue("shopImages", worker_config={"concurrency": 2}, dead_letter_queue_name="shopImagesDead")


class Order(BaseModel):
    """An order of ``email`` for the price ``total``."""

    number: str
    email: EmailStr
    total: float = Field(gt=0)


@dataclass
class Thumbnail:
    """A small image; ``ppm`` is base64 on the wire."""

    width: int
    height: int
    ppm: bytes


@dataclass
class Gallery:
    """Thumbnails of one image."""

    title: str
    thumbnails: list[Thumbnail]


class Mailer:
    """Sends mails through the server ``host:port``."""

    def __init__(self, server: str) -> None:
        host, _, port = server.partition(":")
        self._host, self._port = host, int(port or 25)

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail. Raises ``aiosmtplib.SMTPException``."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "shop@example.org", to, subject
        message.set_content(text)
        await aiosmtplib.send(message, hostname=self._host, port=self._port)


@mail.resource
async def mailer() -> AsyncIterator[Mailer]:
    """Open once per worker process."""
    yield Mailer(os.environ.get("SHOP_SMTP", "localhost:25"))


@mail.task(attempts=5, timeout=30)
async def welcome(to: EmailStr, name: str, mailer: Mailer = INJECTED) -> None:
    """Welcome a new customer."""
    await mailer.send(to, f"Welcome, {name}", "Have a look around.")


@mail.task(name="orderConfirmation", attempts=5, timeout=30)
async def order_confirmation(order: Order, mailer: Mailer = INJECTED) -> None:
    """Confirm an order."""
    await mailer.send(order.email, f"Your order {order.number}", f"Total: {order.total:.2f}")


@mail.task(name="offerOfTheDay", attempts=2)
async def offer_of_the_day(to: list[EmailStr], mailer: Mailer = INJECTED) -> int:
    """Send the offer, every morning. Returns the number of mails."""
    for address in to:
        await mailer.send(address, "Today only", "Everything for half the price.")
    return len(to)


@images.task(name="resizeImage", execution="process", timeout=60)
def resize_image(ppm: bytes, width: Annotated[int, Field(gt=0, le=2000)]) -> Thumbnail:
    """Scale an image to ``width`` pixels. This is CPU-bound, so it runs in a process."""
    try:
        small = read_ppm(ppm).scaled(width)
    except ValueError as error:
        raise UnrecoverableError("not an image") from error  # another attempt would not help
    return Thumbnail(small.width, small.height, small.ppm)


@images.task
async def gallery(job: Job, title: str) -> Gallery:
    """Collect the thumbnails of the child jobs, the widest first."""
    found = map(resize_image.read_result, (await job.children_values()).values())
    return Gallery(title, sorted(found, key=lambda each: -each.width))

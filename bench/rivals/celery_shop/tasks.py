"""The tasks, with their retries, dead letters, resource and schedule."""

import os
import smtplib
from email.message import EmailMessage
from typing import Annotated, Any

from celery import Celery, Task
from celery.exceptions import Reject
from celery.schedules import crontab
from celery.signals import worker_process_init
from examples.shop.images import read_ppm
from kombu.utils.json import dumps, loads
from pydantic import BaseModel, EmailStr, Field, TypeAdapter, ValidationError
from redis import Redis

URL = os.environ.get("AUTH_WORKER_REDIS_URL", "redis://localhost:6379/0")
SUBSCRIBERS = ["ada@example.org", "bob@example.org"]
redis = Redis.from_url(URL, decode_responses=True)
app = Celery("shop", broker=URL, backend=URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": 24 * 3600},
    task_routes={"mail.*": {"queue": "shopMail"}, "images.*": {"queue": "shopImages"}},
    timezone="Europe/Berlin",
    beat_schedule={
        "offer": {"task": "mail.offerOfTheDay", "schedule": crontab(hour=8, minute=0), "args": [SUBSCRIBERS]}
    },
)


class Order(BaseModel):
    """What somebody bought, and for how much."""

    number: str
    email: EmailStr
    total: float = Field(gt=0)


class Thumbnail(BaseModel):
    """A small image."""

    width: int
    height: int
    ppm: bytes


class Gallery(BaseModel):
    """Thumbnails of one image."""

    title: str
    thumbnails: list[Thumbnail]


class Mailer:
    """Sends mails through the server ``host:port``."""

    def __init__(self, server: str) -> None:
        host, _, port = server.partition(":")
        self._host, self._port = host, int(port or 25)

    def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail. Raises ``smtplib.SMTPException``."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "shop@example.org", to, subject
        message.set_content(text)
        with smtplib.SMTP(self._host, self._port) as server:
            server.send_message(message)


class Resources:
    """What is made once for each worker process."""

    mailer: Mailer


@worker_process_init.connect
def open_resources(**_: Any) -> None:
    """Celery has no place for it but a module."""
    Resources.mailer = Mailer(os.environ.get("SHOP_SMTP", "localhost:25"))


class WithDeadLetters(Task):
    """A task whose calls are written down when they have failed for good."""

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called after the failure was stored: a crash in between loses the letter."""
        letter = {"id": task_id, "task": self.name, "args": args, "kwargs": kwargs, "reason": str(exc)}
        redis.lpush("shopDead", dumps(letter))


def redrive_all() -> None:
    """Let what has failed run again."""
    while (letter := redis.lmove("shopDead", "shopRedriven", "RIGHT", "LEFT")) is not None:
        call = loads(letter)
        app.send_task(call["task"], call["args"], call["kwargs"], task_id=call["id"])
        redis.lrem("shopRedriven", 1, str(letter))


def checked(kind: Any, value: Any) -> Any:
    """Check an argument: Celery itself checks models alone. What is wrong is not tried again."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise UnfitError(f"{error.error_count()} wrong values") from None


class UnfitError(Exception):
    """What is not tried again."""


RETRIED = {
    "base": WithDeadLetters,
    "autoretry_for": (Exception,),
    "dont_autoretry_for": (UnfitError, Reject),
    "retry_backoff": True,
}


@app.task(name="mail.welcome", max_retries=4, time_limit=30, **RETRIED)
def welcome(to: str, name: str) -> None:
    """Welcome a new customer."""
    Resources.mailer.send(checked(EmailStr, to), f"Welcome, {name}", "Have a look around.")


@app.task(name="mail.orderConfirmation", max_retries=4, time_limit=30, **RETRIED)
def order_confirmation(order: dict[str, Any]) -> None:
    """Confirm an order."""
    found: Order = checked(Order, order)
    Resources.mailer.send(found.email, f"Your order {found.number}", f"Total: {found.total:.2f}")


@app.task(name="mail.offerOfTheDay", max_retries=1, **RETRIED)
def offer_of_the_day(to: list[str]) -> int:
    """Every morning; returns how many mails were sent."""
    for address in checked(list[EmailStr], to):
        Resources.mailer.send(address, "Today only", "Everything for half the price.")
    return len(to)


@app.task(name="images.resizeImage", max_retries=2, time_limit=60, **RETRIED)
def resize_image(ppm: bytes, width: int) -> dict[str, Any]:
    """Scale an image to ``width`` pixels."""
    try:
        small = read_ppm(ppm).scaled(checked(Annotated[int, Field(gt=0, le=2000)], width))
    except ValueError as error:
        raise UnfitError("this is no image") from error
    return Thumbnail(width=small.width, height=small.height, ppm=small.ppm).model_dump()


@app.task(name="images.gallery", max_retries=2, **RETRIED)
def gallery(thumbnails: list[dict[str, Any]], title: str) -> dict[str, Any]:
    """Collect the thumbnails that the jobs before it have made, the widest first."""
    found = sorted(map(Thumbnail.model_validate, thumbnails), key=lambda each: -each.width)
    return Gallery(title=title, thumbnails=found).model_dump()

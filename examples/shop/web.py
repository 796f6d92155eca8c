"""The web application: it enqueues, awaits and cancels jobs, and imports nothing of the worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from examples.shop.tasks import Order, gallery, images, mail, order_confirmation, resize_image, welcome
from fastapi import FastAPI, HTTPException
from pydantic import Base64Bytes, BaseModel, EmailStr

from auth_worker import flow
from auth_worker.errors import JobFailedError

CHANGE_OF_MIND = 15 * 60_000
"""How long (ms) an order can be taken back before it is confirmed."""


class Customer(BaseModel):
    """Who signs up."""

    email: EmailStr
    name: str


class Picture(BaseModel):
    """An image, and the widths of its thumbnails."""

    title: str
    ppm: Base64Bytes
    widths: list[int] = [640]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Disconnect at the end; the first job connects."""
    yield
    await mail.close()
    await images.close()


app = FastAPI(lifespan=lifespan)


@app.post("/customers", status_code=202)
async def sign_up(customer: Customer) -> dict[str, str]:
    """Enqueue the welcome, once for each address."""
    job = await welcome.options(job_id=f"welcome-{customer.email}").enqueue(customer.email, customer.name)
    return {"job": job.id}


@app.post("/orders", status_code=202)
async def order(order: Order) -> None:
    """Enqueue the confirmation, to be sent in a quarter of an hour."""
    await order_confirmation.options(delay=CHANGE_OF_MIND, job_id=f"order-{order.number}").enqueue(order)


@app.delete("/orders/{number}")
async def take_back(number: str) -> None:
    """Cancel the confirmation."""
    if not await order_confirmation.handle(f"order-{number}").cancel("the customer took it back"):
        raise HTTPException(409, "it is too late for that")


@app.post("/thumbnails")
async def thumbnail(picture: Picture) -> dict[str, int]:
    """Enqueue a thumbnail, wait for it, and return its size."""
    job = await resize_image.enqueue(picture.ppm, picture.widths[0])
    try:
        small = await job.result(timeout=20)
    except JobFailedError as error:
        raise HTTPException(422, "not an image") from error
    except TimeoutError as error:
        raise HTTPException(504, "the workers are busy") from error
    return {"width": small.width, "height": small.height}


@app.post("/galleries", status_code=202)
async def make_gallery(picture: Picture) -> dict[str, str]:
    """Enqueue one job for each width, and one that runs after all of them."""
    thumbnails = [resize_image.flow(picture.ppm, width) for width in picture.widths]
    added = await flow.add(gallery.flow(picture.title).after(*thumbnails))
    return {"job": added.job}


@app.get("/galleries/{job_id}")
async def show_gallery(job_id: str) -> dict[str, Any]:
    """Return the widths of the thumbnails, or the state of the job."""
    job = gallery.handle(job_id)
    info = await job.info()
    if info is None:
        raise HTTPException(404)
    if info.state != "completed":
        return {"state": info.state}
    made = await job.result()
    return {"title": made.title, "widths": [each.width for each in made.thumbnails]}

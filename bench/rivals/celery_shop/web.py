"""The web application, with the routes of examples/shop/web.py."""

import asyncio
from typing import Any

from celery import chord
from celery import states as states_of_celery
from celery.exceptions import TimeoutError as ResultTimeoutError
from fastapi import FastAPI, HTTPException
from pydantic import Base64Bytes, BaseModel, EmailStr

from bench.rivals.celery_shop.tasks import (
    Gallery,
    Order,
    Thumbnail,
    UnfitError,
    gallery,
    order_confirmation,
    redis,
    resize_image,
    welcome,
)

CHANGE_OF_MIND = 15 * 60
app = FastAPI()


class Customer(BaseModel):
    """Who signs up."""

    email: EmailStr
    name: str


class Picture(BaseModel):
    """An image, and the widths that are wanted of it."""

    title: str
    ppm: Base64Bytes
    widths: list[int] = [640]


@app.post("/customers", status_code=202)
async def sign_up(customer: Customer) -> dict[str, str]:
    """Enqueue the welcome, once for each address: Celery runs a task id that it has had once more."""
    job_id = f"welcome-{customer.email}"
    if await asyncio.to_thread(redis.set, f"once:{job_id}", 1, nx=True, ex=30 * 24 * 3600):
        await asyncio.to_thread(welcome.apply_async, (customer.email, customer.name), task_id=job_id)
    return {"job": job_id}


@app.post("/orders", status_code=202)
async def order(order: Order) -> None:
    """Confirm the order in a quarter of an hour."""
    arguments, job_id = (order.model_dump(),), f"order-{order.number}"
    await asyncio.to_thread(order_confirmation.apply_async, arguments, task_id=job_id, countdown=CHANGE_OF_MIND)


@app.delete("/orders/{number}")
async def take_back(number: str) -> None:
    """Cancel the confirmation: workers that are reached remember it, and one that begins just now sends it."""
    result = order_confirmation.AsyncResult(f"order-{number}")
    if await asyncio.to_thread(lambda: result.state) != states_of_celery.PENDING:
        raise HTTPException(409, "it is too late for that")
    await asyncio.to_thread(result.revoke)


@app.post("/thumbnails")
async def thumbnail(picture: Picture) -> dict[str, int]:
    """Wait for the thumbnail, in a thread for each request, and say how large it has become."""
    result = await asyncio.to_thread(resize_image.delay, picture.ppm, picture.widths[0])
    try:
        small = Thumbnail.model_validate(await asyncio.to_thread(result.get, timeout=20))
    except UnfitError as error:
        raise HTTPException(422, "this is no image") from error
    except ResultTimeoutError as error:
        raise HTTPException(504, "the workers are busy") from error
    return {"width": small.width, "height": small.height}


@app.post("/galleries", status_code=202)
async def make_gallery(picture: Picture) -> dict[str, str]:
    """Enqueue one job for each width, and one that runs after all of them."""
    thumbnails = [resize_image.s(picture.ppm, width) for width in picture.widths]
    result = await asyncio.to_thread(chord(thumbnails), gallery.s(picture.title))
    await asyncio.to_thread(redis.set, f"gallery:{result.id}", 1, ex=24 * 3600)
    return {"job": result.id}


@app.get("/galleries/{job_id}")
async def show_gallery(job_id: str) -> dict[str, Any]:
    """Tell the widths of the thumbnails, or how far they are: to Celery an unknown id is a pending one."""
    if not await asyncio.to_thread(redis.exists, f"gallery:{job_id}"):
        raise HTTPException(404)
    result = gallery.AsyncResult(job_id)
    state = await asyncio.to_thread(lambda: result.state)
    if state != states_of_celery.SUCCESS:
        return {"state": state.lower()}
    made = Gallery.model_validate(await asyncio.to_thread(result.get))
    return {"title": made.title, "widths": [each.width for each in made.thumbnails]}

"""FastAPI: enqueue from a request, look at the job later. Run it with `uvicorn examples.fastapi_app:app`.

The worker is another process: `auth-worker run examples.mail_worker:service`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from examples.mail_tasks import Receipt, User, mail, welcome
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from auth_worker.errors import BrokerError, InvalidJobDataError
from auth_worker.queue import JobQueue


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The first job connects; what is open is closed with the application."""
    yield
    await mail.close()


app = FastAPI(lifespan=lifespan)


class SignUp(BaseModel):
    """Who signs up."""

    to: str
    user: User


class Progress(BaseModel):
    """How far a job is."""

    id: str
    state: str
    receipt: Receipt | None = None


def jobs() -> JobQueue:
    """The dependency: a test overrides it with a queue of its own."""
    return mail.jobs


@app.post("/sign-ups", status_code=202)
async def sign_up(data: SignUp) -> Progress:
    """Enqueue the mail. The same address signs up once, however often the request is sent."""
    handle = await welcome.options(job_id=f"welcome-{data.to}").enqueue(to=data.to, user=data.user)
    return Progress(id=handle.id, state="wait")


@app.get("/sign-ups/{job_id}")
async def show(job_id: str, queue: Annotated[JobQueue, Depends(jobs)]) -> Progress:
    """Say what became of it."""
    job = await queue.get(job_id)
    if job is None:
        raise HTTPException(404)
    return Progress(id=job.id, state=job.state, receipt=job.return_value)


@app.exception_handler(InvalidJobDataError)
async def refuse(request: Request, error: InvalidJobDataError) -> JSONResponse:
    """Data that the task would refuse; the fields are named, without values."""
    return JSONResponse({"detail": error.fields}, 422)


@app.exception_handler(BrokerError)
async def ask_to_come_back(request: Request, error: BrokerError) -> JSONResponse:
    """Redis is away: enqueue has given up after 2 s."""
    return JSONResponse({"detail": "try again later"}, 503, {"Retry-After": "5"})

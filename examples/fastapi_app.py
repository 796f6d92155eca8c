"""FastAPI: a request enqueues a job, another one shows it. Run it with `uvicorn examples.fastapi_app:app`.

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
    """Disconnect when the application stops; the first job connects."""
    yield
    await mail.close()


app = FastAPI(lifespan=lifespan)


class SignUp(BaseModel):
    """Who signs up."""

    to: str
    user: User


class Progress(BaseModel):
    """The state of a job, and its receipt once it is completed."""

    id: str
    state: str
    receipt: Receipt | None = None


def jobs() -> JobQueue:
    """Return the queue: a dependency that tests override with a queue of their own."""
    return mail.jobs


@app.post("/sign-ups", status_code=202)
async def sign_up(data: SignUp) -> Progress:
    """Enqueue the mail. The same address signs up once, however often the request is sent."""
    handle = await welcome.options(job_id=f"welcome-{data.to}").enqueue(to=data.to, user=data.user)
    return Progress(id=handle.id, state="wait")


@app.get("/sign-ups/{job_id}")
async def show(job_id: str, queue: Annotated[JobQueue, Depends(jobs)]) -> Progress:
    """Show the state of the job."""
    job = await queue.get(job_id)
    if job is None:
        raise HTTPException(404)
    return Progress(id=job.id, state=job.state, receipt=job.return_value)


@app.exception_handler(InvalidJobDataError)
async def refuse(request: Request, error: InvalidJobDataError) -> JSONResponse:
    """Answer data that does not fit the task with the wrong fields, without their values."""
    return JSONResponse({"detail": error.fields}, 422)


@app.exception_handler(BrokerError)
async def try_again_later(request: Request, error: BrokerError) -> JSONResponse:
    """Answer while Redis cannot be reached: ``enqueue`` gives up after 2 s."""
    return JSONResponse({"detail": "try again later"}, 503, {"Retry-After": "5"})

"""Flask: as `fastapi_app`, without an event loop. Run it with `flask --app examples.flask_app run`, or gunicorn.

The worker is another process: `auth-worker run examples.mail_worker:service`.
"""

from examples.mail_tasks import mail, welcome
from flask import Flask, request
from flask.typing import ResponseReturnValue

from auth_worker.errors import BrokerError, InvalidJobDataError

app = Flask(__name__)


@app.post("/sign-ups")
def sign_up() -> ResponseReturnValue:
    """Enqueue the mail. Any thread and any forked child may do so."""
    data = request.get_json()
    handle = welcome.options(job_id=f"welcome-{data['to']}").enqueue_sync(to=data["to"], user=data["user"])
    return {"id": handle.id, "state": "wait"}, 202


@app.get("/sign-ups/<job_id>")
def show(job_id: str) -> ResponseReturnValue:
    """Show the state of the job."""
    job = mail.jobs.sync.get(job_id)
    if job is None:
        return {"detail": "there is no such job"}, 404
    return {"id": job.id, "state": job.state, "receipt": job.return_value}


@app.errorhandler(InvalidJobDataError)
def refuse(error: InvalidJobDataError) -> ResponseReturnValue:
    """Answer data that does not fit the task with the wrong fields, without their values."""
    return {"detail": error.fields}, 422


@app.errorhandler(BrokerError)
def try_again_later(error: BrokerError) -> ResponseReturnValue:
    """Answer while Redis cannot be reached: ``enqueue`` gives up after 2 s."""
    return {"detail": "try again later"}, 503, {"Retry-After": "5"}

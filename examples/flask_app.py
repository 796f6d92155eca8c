"""Flask: the same without an event loop. Run it with `flask --app examples.flask_app run`, or with gunicorn.

The worker is another process: `auth-worker run examples.mail_worker:service`.
"""

from examples.mail_tasks import mail, welcome
from flask import Flask, request
from flask.typing import ResponseReturnValue

from auth_worker.errors import BrokerError, InvalidJobDataError

app = Flask(__name__)


@app.post("/sign-ups")
def sign_up() -> ResponseReturnValue:
    """Enqueue the mail. Any thread may, and any forked child."""
    data = request.get_json()
    handle = welcome.options(job_id=f"welcome-{data['to']}").enqueue_sync(to=data["to"], user=data["user"])
    return {"id": handle.id, "state": "wait"}, 202


@app.get("/sign-ups/<job_id>")
def show(job_id: str) -> ResponseReturnValue:
    """Say what became of it."""
    job = mail.jobs.sync.get(job_id)
    if job is None:
        return {"detail": "there is no such job"}, 404
    return {"id": job.id, "state": job.state, "receipt": job.return_value}


@app.errorhandler(InvalidJobDataError)
def refuse(error: InvalidJobDataError) -> ResponseReturnValue:
    """Data that the task would refuse; the fields are named, without values."""
    return {"detail": error.fields}, 422


@app.errorhandler(BrokerError)
def ask_to_come_back(error: BrokerError) -> ResponseReturnValue:
    """Redis is away: enqueue has given up after 2 s."""
    return {"detail": "try again later"}, 503, {"Retry-After": "5"}

"""The web applications in ``examples/``, as programs of their own with a worker beside them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Worker, environment
from support.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "fastapi": ("uvicorn", "examples.fastapi_app:app", "--port"),
    "flask": ("flask", "--app", "examples.flask_app", "run", "--port"),
}
ADA = {"to": "ada@example.org", "user": {"name": "Ada", "born": "1815-12-10"}}


class Application:
    """A web application at ``port``."""

    def __init__(self, name: str, redis_url: str, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *COMMANDS[name], str(self.port)],
                cwd=folder,
                env=environment(redis_url=redis_url) | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request, once it is up: the status and the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)
            except urllib.error.URLError:
                assert time.monotonic() < deadline, self.log.read_text()
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.05)

    def end(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def worker(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """The worker of the tasks."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    worker = Worker(tmp_path, "examples.mail_worker:service", redis_url=redis_url, http_port="none")
    yield worker
    worker.end()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_sign_up_is_enqueued_worked_and_shown(name: str, worker: Worker, redis_url: str, tmp_path: Path) -> None:
    application = Application(name, redis_url, tmp_path)
    try:
        assert application.ask("/sign-ups", ADA) == (
            202,
            {"id": "welcome-ada@example.org", "state": "wait"} | ({"receipt": None} if name == "fastapi" else {}),
        )
        deadline = time.monotonic() + 60
        while (answer := application.ask("/sign-ups/welcome-ada@example.org"))[1]["state"] != "completed":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert answer[1]["receipt"] == {"message_id": "<15-13@example.org>", "attempt": 1}
        status, refused = application.ask("/sign-ups", {**ADA, "to": "hunter2"})
        assert (status, refused["detail"]) == (422, [{"field": "to", "message": "is not valid"}])
        assert application.ask("/sign-ups/nobody")[0] == 404
    finally:
        application.end()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_request_is_asked_to_come_back_while_redis_is_away(name: str, tmp_path: Path) -> None:
    application = Application(name, f"redis://127.0.0.1:{free_port()}", tmp_path)
    try:
        assert application.ask("/sign-ups", ADA) == (503, {"detail": "try again later"})
    finally:
        application.end()

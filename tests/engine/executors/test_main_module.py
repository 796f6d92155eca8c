"""``execution="process"`` in a script: the worker process has its consumer, and never runs the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from support.command_line import environment
from support.polling import wait_until
from support.running_processes import is_running

HEAD = """
import asyncio
import os
from auth_worker import Job, JobQueue, Settings, WorkerService

open("imports", "a").write(f"{os.getpid()} {__name__}\\n")
service = WorkerService(os.environ["REDIS"], settings=Settings(http_port=None))
"""
CONSUMER = """
@service.processor("work", worker_config={"concurrency": 1}, dead_letter_queue_name="dead", execution="process")
def consume(job: Job) -> dict[str, int]:
    open("runs", "a").write(f"{os.getpid()} {job.id}\\n")
    return {"parent": os.getppid()}
"""
SEED = """
async def seed():
    async with JobQueue("work", os.environ["REDIS"]) as queue:
        for number in range(4):
            await queue.add("n", {}, job_id=f"job-{number}")
"""
RUN = "raise SystemExit(asyncio.run(service.run()))\n"
ENDINGS = {
    "as in the README": "asyncio.run(seed())\n" + RUN,
    "jobs added in the same loop": """
async def main():
    await seed()
    await service.run()
asyncio.run(main())
""",
    "started, then awaited": """
async def main():
    async with service:
        await seed()
        await asyncio.sleep(3600)
asyncio.run(main())
""",
    "in a task": """
async def main():
    await asyncio.gather(seed(), service.run())
asyncio.run(main())
""",
    "in a thread": """
import threading
async def main():
    await service.start()
    await seed()
    await asyncio.sleep(3600)
thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
thread.start()
thread.join()
""",
    "all exceptions caught": """
try:
    asyncio.run(seed())
    asyncio.run(service.run())
except BaseException as error:
    print("ended by", type(error).__name__)
""",
    "jobs added without a loop": """
queue = JobQueue("work", os.environ["REDIS"])
queue.sync.add_bulk({"name": "n", "opts": {"job_id": f"job-{number}"}} for number in range(4))
raise SystemExit(asyncio.run(service.run()))
""",
    "with a main guard": """
if __name__ == "__main__":
    asyncio.run(seed())
    raise SystemExit(asyncio.run(service.run()))
""",
}
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Start]:
    """Starts Python with ``arguments`` in the test's folder; kills what is left of it."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, program: str | None = None) -> subprocess.Popen[str]:
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=tmp_path,
                env=environment() | {"REDIS": redis_url},
                stdin=subprocess.DEVNULL if program is None else subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
            )
        started.append(process)
        if program is not None:
            process.communicate(program, timeout=40)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait(30)


def pids(path: Path) -> set[int]:
    return {int(line.split()[0]) for line in path.read_text().splitlines()} if path.exists() else set()


def done(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.zcard("bull:work:completed"))


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_a_script_processes_its_jobs_and_starts_no_second_service(
    ending: str, tmp_path: Path, redis_url: str, start: Start
) -> None:
    (tmp_path / "script.py").write_text(HEAD + CONSUMER + SEED + ending)
    script = start("script.py")
    wait_until(lambda: done(redis_url) == 4, "the jobs are not done", 40)
    assert script.poll() is None
    log = (tmp_path / "log").read_text()
    assert log.count("Worker service starting") == 1
    assert "Traceback" not in log
    assert "Warning" not in log
    with redis.Redis.from_url(redis_url) as client:
        assert client.zcard("bull:work:failed") == 0
        assert [client.hget(f"bull:work:job-{number}", "atm") for number in range(4)] == [b"1"] * 4
        assert client.xlen("bull:work:events") < 40
    assert script.pid not in pids(tmp_path / "runs")
    script.kill()
    script.wait(30)
    wait_until(lambda: not any(map(is_running, pids(tmp_path / "imports"))), "a process outlives the script")


@pytest.mark.parametrize("arguments", [("-m", "package"), ("-m", "package.script"), ("package",)])
def test_the_main_module_of_a_package_may_have_the_consumer(
    arguments: tuple[str, ...], tmp_path: Path, redis_url: str, start: Start
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("__main__.py", "script.py"):
        (package / name).write_text(HEAD + CONSUMER + SEED + ENDINGS["as in the README"])
    script = start(*arguments)
    wait_until(lambda: done(redis_url) == 4, "the jobs are not done", 40)
    script.send_signal(signal.SIGTERM)
    assert script.wait(30) == 0
    assert (tmp_path / "log").read_text().count("Worker service starting") == 1


def test_a_service_named_on_the_command_line_may_have_the_consumer(
    tmp_path: Path, redis_url: str, start: Start
) -> None:
    guarded = "\nif __name__ == '__main__':\n    " + RUN
    (tmp_path / "app.py").write_text(HEAD + CONSUMER + SEED + guarded)
    script = start("-m", "auth_worker", "run", "app:service", "--http-port", "none")
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: "Worker ready" in (tmp_path / "log").read_text(), "it does not start", 40)
        assert client.exists("bull:work:completed") == 0
    subprocess.run(
        [sys.executable, "-c", "import asyncio, app; asyncio.run(app.seed())"],
        cwd=tmp_path,
        env=environment() | {"REDIS": redis_url},
        check=True,
        timeout=40,
    )
    wait_until(lambda: done(redis_url) == 4, "the jobs are not done", 40)
    script.send_signal(signal.SIGTERM)
    assert script.wait(30) == 0


UNFIT = {
    "defined below what runs the service": (
        HEAD + "def register():\n    service.register_processor(queue_name='work', processor=consume, "
        "execution='process')\n" + "if __name__ == '__main__':\n"
        "    def consume(job): pass\n    register()\n    asyncio.run(service.start())\n",
        "put what runs it under",
    ),
    "a broken import": (
        HEAD
        + CONSUMER
        + "if __name__ != '__main__':\n    import no_such_module\n"
        + "asyncio.run(service.start())\n",
        "No module named 'no_such_module'",
    ),
    "an import that fails at a value": (
        HEAD
        + CONSUMER
        + "if __name__ != '__main__':\n    int('hunt' + 'er2')\n"
        + "asyncio.run(service.start())\n",
        "ValueError: invalid literal for int() with base 10: ***",
    ),
    "a process that dies": (
        HEAD + CONSUMER + "if __name__ != '__main__':\n    os._exit(9)\n" + "asyncio.run(service.start())\n",
        "did not become ready: the job's process died (exit code 9: ",
    ),
    "another function under its name": (
        HEAD
        + "def other(f):\n    return lambda job: f(job)\n@other\n"
        + CONSUMER.lstrip()
        + "asyncio.run(service.start())\n",
        "may have been replaced by a decorator",
    ),
}


@pytest.mark.parametrize(("script", "message"), UNFIT.values(), ids=UNFIT)
def test_a_consumer_that_no_process_can_import_is_refused_at_the_start(
    script: str, message: str, tmp_path: Path, start: Start
) -> None:
    (tmp_path / "script.py").write_text(script)
    assert start("script.py").wait(40) == 1
    log = (tmp_path / "log").read_text()
    assert "ConfigurationError: execution='process'" in log
    assert message in log
    assert "hunter2" not in log
    wait_until(lambda: not any(map(is_running, pids(tmp_path / "imports"))), "a process is left")


@pytest.mark.parametrize("way", ["-c", "stdin"])
def test_a_consumer_without_a_file_is_refused_when_it_is_registered(
    way: str, tmp_path: Path, start: Start
) -> None:
    program = HEAD + CONSUMER + RUN
    process = start("-c", program) if way == "-c" else start("-", program=program)
    assert process.wait(40) == 1
    assert "move it into a module" in (tmp_path / "log").read_text()


def test_a_process_that_a_consumer_spawns_starts_no_second_service(
    tmp_path: Path, redis_url: str, start: Start
) -> None:
    consumer = """
import multiprocessing
@service.processor("work")
def consume(job):
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    return process.exitcode
"""
    one_job = SEED.replace("range(4)", "range(1)") + "import sys\nif len(sys.argv) < 2:\n    "
    (tmp_path / "script.py").write_text(HEAD + consumer + one_job + RUN)
    (tmp_path / "seed.py").write_text(
        "import asyncio, sys; sys.argv.append('x'); import script; asyncio.run(script.seed())"
    )
    script = start("script.py")
    subprocess.run([sys.executable, "seed.py"], cwd=tmp_path, env=environment() | {"REDIS": redis_url}, check=True)
    wait_until(lambda: done(redis_url) == 1, "the job is not done", 40)
    log = (tmp_path / "log").read_text()
    assert log.count("Worker service starting") == 1
    assert "a process of multiprocessing imports the main module" in log
    script.send_signal(signal.SIGTERM)
    assert script.wait(30) == 0


def test_a_consumer_in_a_process_starts_no_service(tmp_path: Path, redis_url: str, start: Start) -> None:
    consumer = """
@service.processor("work", worker_config={"attempts": 1}, execution="process")
def consume(job):
    asyncio.run(WorkerService(os.environ["REDIS"]).run())
"""
    (tmp_path / "script.py").write_text(HEAD + consumer + SEED + ENDINGS["as in the README"])
    script = start("script.py")
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: client.zcard("bull:work:failed") == 4, "the jobs do not fail", 40)
        assert b"cannot be started by a consumer" in (client.hget("bull:work:job-0", "failedReason") or b"")
    os.kill(script.pid, signal.SIGTERM)
    assert script.wait(30) == 0

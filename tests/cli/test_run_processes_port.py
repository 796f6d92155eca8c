"""The one port of several processes answers its probes whatever other clients do."""

from __future__ import annotations

import http.client
import json
import os
import resource
import socket
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.error import HTTPError

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from auth_worker.http.service_identity import IDENTITY_HEADER, read_identity
from support.command_line import Worker, run_here, run_program
from support.http_requests import samples_of
from support.ipv6 import needs_dual_stack
from support.multiprocess_services import MultiProcessService, StartWorker
from support.polling import wait_until
from support.servers import free_port

APP = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from auth_worker import WorkerService
service = WorkerService()
@service.processor("work")
async def consume(job):
    pass
"""


def status(port: int, path: str, host: str = "127.0.0.1", token: str = "") -> int:
    request = urllib.request.Request(f"http://{host}:{port}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request if token else request.full_url, timeout=5) as reply:
            return int(reply.status)
    except HTTPError as error:
        error.close()
        return 0
    except OSError:
        return 0


def test_silent_connections_keep_no_probe_of_several_processes_from_its_answer(
    folder: Path, worker: Callable[..., Worker], redis_url: str
) -> None:
    (folder / "app.py").write_text(APP)
    port = free_port()
    parent = worker(
        "app:service", "--processes", 2, "--redis", redis_url, http_port=str(port), ready="Worker ready"
    )
    wait_until(lambda: status(port, "/readyz") == 200, "not all are ready", 30)
    with ExitStack() as stack:
        for sent in (b"", b"GET /livez HTT") * 150:
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)).sendall(sent)
        for path in ("/livez", "/readyz", "/startupz"):
            started = time.monotonic()
            assert status(port, path) == 200
            assert time.monotonic() - started < 1
    assert parent.end() == 0


FEW = 128
LEASED = """
import asyncio
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from auth_worker import WorkerService
service = WorkerService()
@service.processor("work", worker_config={"concurrency": 1, "lock_duration": 1000, "stalled_interval": 200})
async def consume(job):
    print("ran", flush=True)
    await asyncio.sleep(4)
"""


def test_more_connections_than_descriptors_cost_no_lease_of_several_processes(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    """Neither the parent nor its processes may have more than 128 descriptors open."""
    service = MultiProcessService(folder, worker, "--redis", redis_url, app=LEASED)
    parent = service.parent.process.pid
    resource.prlimit(parent, resource.RLIMIT_NOFILE, (FEW, FEW))
    with redis.Redis.from_url(redis_url) as client, ExitStack() as stack:
        add(folder, redis_url, 2)
        wait_until(lambda: service.parent.output.count("ran\n") == 2, "the jobs do not run", 20)
        before, written = cpu_s(parent), service.parent.log.stat().st_size
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=5))
        asked = 0
        while client.zcard("bull:work:completed") < 2:
            assert [status(service.port, path) for path in ("/livez", "/readyz")] == [200, 200]
            asked += 1
            time.sleep(0.1)
        assert asked > 5
        assert len(os.listdir(f"/proc/{parent}/fd")) <= FEW
        assert cpu_s(parent) - before < 3
        assert service.parent.log.stat().st_size - written < 10_000
        assert service.parent.output.count("ran\n") == 2, "a job ran twice"
        for job in client.zrange("bull:work:completed", 0, -1):
            assert client.hget(f"bull:work:{job.decode()}", "stc") is None, "a lease was lost"
    assert service.parent.end() == 0


def add(folder: Path, redis_url: str, count: int) -> None:
    lines = folder / "jobs.jsonl"
    lines.write_text((json.dumps({"name": "n", "data": {}}) + "\n") * count)
    assert run_here("add", "work", "--lines", "jobs.jsonl", "--redis", redis_url) == 0


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_dual_stack_address_serves_ipv4_and_ipv6(
    folder: Path, worker: StartWorker, redis_url: str, processes: int
) -> None:
    needs_dual_stack()
    (folder / "app.py").write_text(APP)
    port = free_port()
    sized = ("--processes", processes) if processes > 1 else ()
    given = {"http_port": str(port), "http_host": "::", "http_token": "canary"}
    parent = worker("app:service", *sized, "--redis", redis_url, **given)
    wait_until(lambda: status(port, "/readyz") == 200, "not all are ready", 30)
    for host in ("127.0.0.1", "[::1]"):
        assert [status(port, path, host) for path in ("/livez", "/readyz", "/startupz")] == [200] * 3
        assert status(port, "/metrics", host) == 0
        assert status(port, "/metrics", host, "canary") == 200
    asked = run_program(folder, "health", **given)
    assert asked.returncode == 0, asked.stderr
    rows = [line.split() for line in asked.stdout.splitlines() if line.startswith(("QUEUE", "work "))]
    assert [row[1] for row in rows] == (["PROCESS", "1", "2"] if processes > 1 else ["STATE", "run"])
    assert parent.end() == 0


def test_every_answer_of_several_processes_names_their_parent_once(
    folder: Path, worker: StartWorker, redis_url: str
) -> None:
    service = MultiProcessService(folder, worker, "--redis", redis_url, "--name", "pod")
    for path in ("/livez", "/readyz", "/health", "/metrics", "/api/v1/queues", "/api/v1/service", "/nothing"):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        connection.request("GET", path)
        headers = connection.getresponse().headers
        connection.close()
        assert len(headers.get_all(IDENTITY_HEADER, [])) == 1, path
        identity = read_identity({IDENTITY_HEADER: headers[IDENTITY_HEADER]})
        assert identity is not None
        assert (identity.name, identity.pid) == ("pod", service.parent.process.pid), path
        for name in ("cache-control", "content-security-policy", "x-content-type-options"):
            assert len(headers.get_all(name, [])) == 1, (path, name)


REGISTERED = """
import os
from prometheus_client import Counter, Gauge
from auth_worker import WorkerService
service = WorkerService()
signups = Counter("app_signups", "Of the application.", ["process"])
signups.labels("mine").inc(os.getpid())
@service.processor("work")
async def consume(job):
    pass
"""


def test_the_applications_metrics_are_shown_for_each_of_several_processes(
    folder: Path, worker: StartWorker, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_WORKER_METRICS_REGISTRY", "application")
    (folder / "auth-worker.toml").write_text('metrics_registry = "application"\n')
    service = MultiProcessService(folder, worker, "--redis", redis_url, app=REGISTERED)
    page = service.ask("/metrics")[1]
    found = {
        (sample.labels["process"], sample.labels["exported_process"]): sample.value
        for each in text_string_to_metric_families(page)
        for sample in each.samples
        if sample.name == "app_signups_total"
    }
    assert found == {(str(n), "mine"): float(pid) for n, pid in enumerate(service.pids, 1)}
    declared = [line for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(declared) == len(set(declared))
    assert len(samples_of(page)) == sum(not line.startswith("#") for line in page.splitlines())

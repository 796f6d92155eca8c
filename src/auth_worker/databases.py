"""Health checks of the application's database: adapters for SQLAlchemy and psycopg, and the check itself.

::

    service = WorkerService(database_service=SqlAlchemyDatabase(engine))     # an AsyncEngine
    service = WorkerService(database_service=PsycopgDatabase(pool))          # a psycopg_pool.AsyncConnectionPool

Neither library is imported here: an application that has an engine or a pool has it already.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from auth_worker.core.exception_groups import deciding_error

CHECK_TIMEOUT_S = 3.0
QUERY = "SELECT 1"
VERDICTS = ("healthy", "ok")
"""The keys of a mapping that say whether the database is healthy. The first one present decides."""


class SqlAlchemyDatabase:
    """Checks a database by selecting one row through ``engine``, an ``sqlalchemy.ext.asyncio.AsyncEngine``."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def health_check(self) -> dict[str, Any]:
        """Return the latency (ms), including the wait for a connection. Raises what the engine raises."""
        started = time.perf_counter()
        async with self._engine.connect() as connection:
            await connection.exec_driver_sql(QUERY)
        return {"latencyMs": _ms_since(started)}


class PsycopgDatabase:
    """Checks a database by selecting one row through ``pool``, an open ``psycopg_pool.AsyncConnectionPool``."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def health_check(self) -> dict[str, Any]:
        """Return the latency (ms), including the wait for a connection. Raises what the pool raises."""
        started = time.perf_counter()
        async with self._pool.connection() as connection:
            await connection.execute(QUERY)
        return {"latencyMs": _ms_since(started)}


def checker_of(service: Any) -> Any:
    """Return the ``health_check`` of a database service, else its ``ping``, else None."""
    with contextlib.suppress(AttributeError):
        return service.health_check
    return getattr(service, "ping", None)


async def check_database(service: Any) -> dict[str, Any]:
    """Ask a database service for its health, for at most ``CHECK_TIMEOUT_S``. Never raises.

    It is unhealthy if the check raises, times out, or returns a false value other than None, or a mapping whose
    ``healthy`` or ``ok`` is false. The report names an exception by its type, since its text may hold a password.
    """
    try:
        answer = await _in_time(_run_check(service))
    except TimeoutError:
        return {"healthy": False, "reason": f"no answer within {CHECK_TIMEOUT_S:g} s"}
    except (Exception, BaseExceptionGroup) as error:
        return {"healthy": False, "reason": type(deciding_error(error)).__name__}
    if isinstance(answer, Mapping):
        verdict = next((answer[name] for name in VERDICTS if name in answer), True)
        return {**answer, "healthy": bool(verdict)}
    return {"healthy": answer is None or bool(answer)}


async def _run_check(service: Any) -> Any:
    answer = checker_of(service)()
    return await answer if inspect.isawaitable(answer) else answer


async def _in_time(check: Coroutine[Any, Any, Any]) -> Any:
    """Await ``check``. Raises ``TimeoutError``: the check is then cancelled, but not awaited.

    A driver may take a long time to give up a connection whose peer is silent.
    """
    checking = asyncio.create_task(check, name="database check")
    _pending.add(checking)
    checking.add_done_callback(_forget)
    try:
        answered, _ = await asyncio.wait({checking}, timeout=CHECK_TIMEOUT_S)
    except asyncio.CancelledError:
        checking.cancel()
        raise
    if not answered:
        checking.cancel()
        raise TimeoutError
    return checking.result()


_pending: set[asyncio.Task[Any]] = set()


def _forget(check: asyncio.Task[Any]) -> None:
    """Discard the result of a finished check, so that asyncio does not report its exception as unretrieved."""
    _pending.discard(check)
    if not check.cancelled():
        check.exception()


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)

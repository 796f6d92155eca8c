"""The database in the health report: how it is asked, and adapters for what people use.

::

    service = WorkerService(database_service=SqlAlchemyDatabase(engine))     # an AsyncEngine
    service = WorkerService(database_service=PsycopgDatabase(pool))          # a psycopg_pool.AsyncConnectionPool

Neither library is imported here: who has an engine or a pool has it already.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from auth_worker.exception_groups import deciding

CHECK_TIMEOUT_S = 3.0
QUESTION = "SELECT 1"
VERDICTS = ("healthy", "ok", "status", "state")
"""The keys that may say how it is, the first one there counts; a mapping without any is well."""
SICK = frozenset(
    ("", "0", "false", "no", "off", "down", "sick", "ill", "bad", "ko", "nok", "fail", "failed", "failing")
)
SICK |= frozenset(
    ("failure", "error", "fatal", "critical", "unhealthy", "unavailable", "unreachable", "disconnected")
)
SICK |= frozenset(("offline", "dead", "timeout", "not ok", "degraded", "closed", "stopped"))


class SqlAlchemyDatabase:
    """Asks through ``engine``, an ``sqlalchemy.ext.asyncio.AsyncEngine``, for one row."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def health_check(self) -> dict[str, Any]:
        """How long the answer took (ms), waiting for a connection included. Raises what the engine raises."""
        started = time.perf_counter()
        async with self._engine.connect() as connection:
            await connection.exec_driver_sql(QUESTION)
        return {"latencyMs": _ms_since(started)}


class PsycopgDatabase:
    """Asks through ``pool``, an open ``psycopg_pool.AsyncConnectionPool``, for one row."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def health_check(self) -> dict[str, Any]:
        """How long the answer took (ms), waiting for a connection included. Raises what the pool raises."""
        started = time.perf_counter()
        async with self._pool.connection() as connection:
            await connection.execute(QUESTION)
        return {"latencyMs": _ms_since(started)}


def checker_of(service: Any) -> Any:
    """The health check of a database service: its ``health_check``, its ``ping``, or None."""
    with contextlib.suppress(AttributeError):
        return service.health_check
    return getattr(service, "ping", None)


async def check_database(service: Any) -> dict[str, Any]:
    """What the health report says of a database service, within ``CHECK_TIMEOUT_S``. Never raises.

    An error is told by its type alone, since its text may hold a password.
    """
    try:
        answer = await _in_time(_ask(service))
    except TimeoutError:
        return {"healthy": False, "reason": f"no answer within {CHECK_TIMEOUT_S:g} s"}
    except (Exception, BaseExceptionGroup) as error:
        return {"healthy": False, "reason": type(deciding(error)).__name__}
    if isinstance(answer, Mapping):
        verdict = next((answer[name] for name in VERDICTS if name in answer), True)
        return {**answer, "healthy": is_well(verdict)}
    return {"healthy": is_well(answer)}


def is_well(answer: Any) -> bool:
    """Whether what a check returned says that all is well.

    Nothing at all (None) does, since nothing was raised; True, a row and any other true value do. False, 0 and
    what is empty do not, nor does a word of ``SICK`` such as "down"; a text may be bytes.
    """
    if isinstance(answer, bytes):
        answer = answer.decode(errors="replace")
    if isinstance(answer, str):
        return answer.strip().lower() not in SICK
    return answer is None or bool(answer)


async def _ask(service: Any) -> Any:
    answer = checker_of(service)()
    return await answer if inspect.isawaitable(answer) else answer


async def _in_time(check: Coroutine[Any, Any, Any]) -> Any:
    """The answer of ``check``. Raises ``TimeoutError``: then it is cancelled, and not waited for.

    A driver may take long to give up a connection whose other end is silent.
    """
    asking = asyncio.create_task(check, name="database check")
    _asking.add(asking)
    asking.add_done_callback(_forget)
    try:
        answered, _ = await asyncio.wait({asking}, timeout=CHECK_TIMEOUT_S)
    except asyncio.CancelledError:
        asking.cancel()
        raise
    if not answered:
        asking.cancel()
        raise TimeoutError
    return asking.result()


_asking: set[asyncio.Task[Any]] = set()


def _forget(asked: asyncio.Task[Any]) -> None:
    """What a check says that nobody waits for any more is of no interest."""
    _asking.discard(asked)
    if not asked.cancelled():
        asked.exception()


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)

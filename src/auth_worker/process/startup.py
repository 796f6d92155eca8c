"""Parts of the start of a service: the call of ``init_services``, and log lines about a slow or failed start."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from auth_worker.core.error_text import error_text
from auth_worker.core.exception_groups import deciding_error
from auth_worker.core.ports.operator import ConnectionState
from auth_worker.core.redaction import redact
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.process.runtime import Runtime

FIRST_REPORT_S = 0.8
"""How long (s) a start waits for the broker before it reports that."""
EMBEDDED_REMEDY = (
    "for one machine that is fine; else set AUTH_WORKER_REDIS_URL. AUTH_WORKER_EMBEDDED=false makes it an error"
)
REPORT_INTERVAL_S = 10.0
"""How often (s) it reports that again."""


def broker_remedy(argument: str) -> str:
    """Return what to do if Redis cannot be reached. ``argument`` names another way to set its URL."""
    return (
        f"Is Redis running there, and does it accept this host? {argument} or AUTH_WORKER_REDIS_URL names another "
        "one; auth-worker doctor checks it"
    )


def report_starting(runtime: Runtime, queues: Sequence[str], log: Any) -> None:
    """Log what starts, and which broker was chosen; the embedded one outside of a terminal as a warning."""
    source = runtime.brokers.source
    log.info(WORKER_MESSAGES.WORKER_STARTING, worker=runtime.worker_name, queues=queues, broker=source.description)
    if source.is_embedded and not (sys.stderr is not None and sys.stderr.isatty()):
        log.warning(WORKER_MESSAGES.BROKER_EMBEDDED, remedy=EMBEDDED_REMEDY)


async def report_waiting(runtime: Runtime, log: Any) -> None:
    """Log where and why the broker cannot be reached, after a while and then regularly, until cancelled."""
    began = time.monotonic()
    await asyncio.sleep(FIRST_REPORT_S)
    while True:
        link = _awaited(runtime)
        if link is not None:
            log.warning(
                WORKER_ERRORS.BROKER_AWAITED,
                broker=str(runtime.brokers.address),
                error=redact(str(link.why_down())),
                remedy=broker_remedy("redis_connection"),
                waited_s=round(time.monotonic() - began, 1),
                gives_up_after_s=runtime.settings.startup_timeout,
            )
        await asyncio.sleep(REPORT_INTERVAL_S)


async def initialize(init_services: Callable[[], Any] | None) -> None:
    """Call the application's ``init_services``, async or not."""
    if init_services is not None:
        done = init_services()
        if inspect.isawaitable(done):
            await done


def report_failure(error: BaseException, runtime: Runtime, log: Any, *, stopped: bool) -> None:
    """Log why a start failed: as an error, or as a message if it was ``stopped`` or cancelled."""
    error = deciding_error(error)
    if stopped or isinstance(error, asyncio.CancelledError):
        link = _awaited(runtime)
        why = "" if link is None else redact(f"waited for {runtime.brokers.address}: {link.why_down()}")
        log.info(WORKER_MESSAGES.START_STOPPED, **({"reason": why} if why else {}))
    else:
        name = type(error).__name__
        log.error(WORKER_ERRORS.STARTUP_FAILED, error=redact(error_text(error)), error_type=name)


def _awaited(runtime: Runtime) -> ConnectionState | None:
    return next((link for link in runtime.links if not link.is_up), None)

"""What a service that is starting says while its broker cannot be reached, and when it is told to stop."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

from auth_worker.broker.link import Link
from auth_worker.error_text import error_text
from auth_worker.exception_groups import deciding
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.redaction import redact
from auth_worker.runtime import Runtime

FIRST_REPORT_S = 0.8
"""How long (s) a start may wait for the broker before it says so."""
REPORT_INTERVAL_S = 10.0
"""How often (s) it says so again."""
REMEDY = (
    "is Redis running there, and does it let this host in? redis_connection or AUTH_WORKER_REDIS_URL names "
    "another one; auth-worker doctor looks closer"
)


async def report_waiting(runtime: Runtime, log: Any) -> None:
    """Log where and why the broker cannot be reached, soon and then now and again, until cancelled."""
    began = time.monotonic()
    await asyncio.sleep(FIRST_REPORT_S)
    while True:
        link = _awaited(runtime)
        if link is not None:
            log.warning(
                WORKER_ERRORS.BROKER_AWAITED,
                broker=str(runtime.address),
                error=redact(str(link.why_down())),
                remedy=REMEDY,
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
    """Log why a start came to nothing: an error, but a message where it was ``stopped`` or cancelled."""
    error = deciding(error)
    if stopped or isinstance(error, asyncio.CancelledError):
        link = _awaited(runtime)
        why = "" if link is None else redact(f"waited for {runtime.address}: {link.why_down()}")
        log.info(WORKER_MESSAGES.START_STOPPED, **({"reason": why} if why else {}))
    else:
        name = type(error).__name__
        log.error(WORKER_ERRORS.STARTUP_FAILED, error=redact(error_text(error)), error_type=name)


def _awaited(runtime: Runtime) -> Link | None:
    return next((link for link in runtime.links if not link.is_up), None)

"""Protects against a program that runs again while another process imports its main module.

A worker process of ``execution="process"``, and each process that ``multiprocessing`` spawns, imports the main
module of its parent. Without ``if __name__ == "__main__":`` that would start a second service in it.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from auth_worker.errors import ConfigurationError

GUARD = 'put what runs it under `if __name__ == "__main__":`'
_worker_process: Literal["no", "loading", "loaded"] = "no"


@contextmanager
def loading_consumer() -> Iterator[None]:
    """In a worker process: the main module and the consumer's are imported in this block."""
    global _worker_process  # noqa: PLW0603 - it is so for the whole process
    _worker_process = "loading"
    log = logging.getLogger("asyncio")
    log.disabled = True  # it would report the tasks in which the main module was stopped
    try:
        yield
    finally:
        gc.collect()
        log.disabled = False
        _worker_process = "loaded"


def stop_reimported_main() -> None:
    """Call before the application reaches out to Redis.

    Raises ``SystemExit`` in a worker process that imports the main module for its consumer: that ends the module
    here, and what it has defined by then is kept. It is no subclass: a thread ends silently only with
    ``SystemExit`` itself.
    """
    if _worker_process == "loading":
        raise SystemExit(0)


def refuse_reimported_main() -> None:
    """Call before a service starts.

    Raises ``SystemExit`` as ``stop_reimported_main``, and ``ConfigurationError`` where a process of
    ``multiprocessing`` imports the main module, or a consumer in a worker process starts a service.
    """
    stop_reimported_main()
    if _worker_process == "loaded":
        raise ConfigurationError("a service cannot be started by a consumer with execution='process'")
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigurationError(
            f"a process of multiprocessing imports the main module, and would start a second service: {GUARD}"
        )

"""Stops a program from running again in another process that imports its main module.

A worker process of ``execution="process"``, and each process that ``multiprocessing`` spawns, imports the main
module of its parent. Without ``if __name__ == "__main__":`` that would start a second service.
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
    """Import the main module and the consumer's in this block, in a worker process."""
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


def is_loading_consumer() -> bool:
    """Whether a worker process imports its consumer. A service made there never starts."""
    return _worker_process == "loading"


def stop_reimported_main() -> None:
    """Stop the main module if a worker process imports it for its consumer. Call it before connecting to Redis.

    Raises ``SystemExit`` there, which ends the module and keeps what it has defined so far. It is not a subclass,
    since a thread ends silently only with ``SystemExit`` itself.
    """
    if is_loading_consumer():
        raise SystemExit(0)


def refuse_reimported_main() -> None:
    """Refuse to start a service in a process that imports the main module. Call it before a service starts.

    Raises ``SystemExit`` as ``stop_reimported_main``, and ``ConfigurationError`` if a process of
    ``multiprocessing`` imports the main module, or a consumer in a worker process starts a service.
    """
    stop_reimported_main()
    if _worker_process == "loaded":
        raise ConfigurationError("a service cannot be started by a consumer with execution='process'")
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ConfigurationError(
            f"a process of multiprocessing imports the main module, and would start a second service: {GUARD}"
        )

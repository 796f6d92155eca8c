"""Calls functions that may block forever in daemon threads, which do not delay the exit of the process."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def call_in_daemon_thread(call: Callable[[], T], name: str) -> concurrent.futures.Future[T]:
    """Start ``call`` in a thread of its own, called ``name``. Returns its result as a future."""
    answer: concurrent.futures.Future[T] = concurrent.futures.Future()
    threading.Thread(target=_answer, args=(answer, call), name=name, daemon=True).start()
    return answer


def _answer(answer: concurrent.futures.Future[T], call: Callable[[], T]) -> None:
    if not answer.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        answer.set_exception(error)
    else:
        answer.set_result(result)

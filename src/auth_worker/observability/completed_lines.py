"""Writes the log lines of completed jobs."""

from __future__ import annotations

import json.encoder
import time

from auth_worker.core.clock import now_ms
from auth_worker.core.terminal_text import ascii_json
from auth_worker.events import JobCompleted, OutcomeName
from auth_worker.messages import WORKER_MESSAGES
from auth_worker.observability.logs import LineSink

_quote = json.encoder.encode_basestring_ascii
MOST_HEADS = 1000
"""How many beginnings of lines, by queue and job name, are kept."""


class JobLines:
    """Writes the line of each completed job to ``sink``, without structlog: the same JSON at a tenth of the cost.

    It is the only line that is written for every job, and its fields are known. ``sample`` is the number of jobs
    that a line stands for.
    """

    def __init__(self, sink: LineSink, sample: int = 1) -> None:
        self._write = sink.write
        self._sample = f'"sample": {sample}, ' if sample > 1 else ""
        self._heads: dict[tuple[str, str], str] = {}
        self._millisecond, self._tail = 0, ""

    def write(self, event: JobCompleted) -> None:
        """Write the line for ``event``."""
        kind = (event.queue, event.job_name)
        head = self._heads.get(kind)
        if head is None:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            head = f'{{"queue": {ascii_json(kind[0])}, "job_name": {ascii_json(kind[1])}, {self._sample}'
            self._heads[kind] = head
        now = now_ms()
        if now != self._millisecond:
            self._millisecond, self._tail = now, _tail(now)
        trace = f', "trace_id": "{event.trace_id}"' if event.trace_id else ""
        self._write(
            f'{head}"job_id": {_quote(event.job_id)}, "attempt": {event.attempt}, '
            f'"duration_ms": {event.duration_ms:.3f}{trace}{self._tail}'
        )


def _tail(now: int) -> str:
    """Return the end of the line, which is the same for all jobs of a millisecond."""
    second, millisecond = divmod(now, 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    return (
        f', "outcome": "{OutcomeName.COMPLETED}", "event": "{WORKER_MESSAGES.JOB_COMPLETED}", "level": "info", '
        f'"timestamp": "{stamp}.{millisecond:03d}000Z"}}\n'
    )

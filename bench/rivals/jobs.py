"""The job that everybody runs: it writes the time of its start to a file, and sleeps.

The standard library alone, since each of the job systems imports it in an environment of its own.
"""

from __future__ import annotations

import os
import struct
import time

TIME = struct.Struct("q")
_files: dict[int, int] = {}


def work(sleep_ms: int) -> None:
    """Write the time (monotonic ns) to the file that ``BENCH_STARTS`` names, then sleep ``sleep_ms``."""
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = os.open(os.environ["BENCH_STARTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(_files[pid], TIME.pack(time.monotonic_ns()))
    if sleep_ms:
        time.sleep(sleep_ms / 1000)


def broker_url() -> str:
    """The URL of the server that is measured on."""
    return os.environ["BENCH_REDIS"]

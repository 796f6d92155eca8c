"""The command line, ``auth-worker``."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

from auth_worker.errors import AuthWorkerError, BrokerError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with ``arguments`` (None: those of the process). Always raises ``SystemExit``.

    Exit codes: 0 clean, 1 failed, 2 usage, 3 stopped with work handed back, 4 broker unreachable.
    """
    from auth_worker.cli.app import app
    from auth_worker.cli.console import FAILED, UNREACHABLE, say_error
    from auth_worker.cli.streams import give_up_stdout, open_streams

    open_streams()
    try:
        try:
            app(arguments, prog_name=app.info.name)  # also for python -m: completion is of that name
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough
        give_up_stdout()
        sys.exit(FAILED)
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise
        give_up_stdout()
        say_error(f"stdout cannot be written: {error.strerror}")
        sys.exit(FAILED)
    except AuthWorkerError as error:
        say_error(str(error))
        sys.exit(UNREACHABLE if isinstance(error, BrokerError) else FAILED)

"""The command line, ``auth-worker``: one module per command or group of commands."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence

from auth_worker.core.extras import needs_extra
from auth_worker.errors import AuthWorkerError, BrokerError, MissingExtraError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with ``arguments`` (None: ``sys.argv``). Always raises ``SystemExit``.

    Exit codes: 0 clean, 1 failed, 2 usage, 3 stopped with work handed back, 4 broker unreachable.
    """
    try:
        with needs_extra("cli", "the command line"):
            from auth_worker.cli.app import app
    except MissingExtraError as error:
        sys.exit(f"auth-worker: {error}")
    from auth_worker.cli.exit_codes import FAILED, UNREACHABLE
    from auth_worker.cli.standard_streams import discard_stdout, open_streams

    open_streams()
    try:
        try:
            app(arguments, prog_name=app.info.name)  # under python -m too: completion uses the name
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe
        discard_stdout()
        sys.exit(FAILED)
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise
        discard_stdout()
        _print_error(f"stdout cannot be written: {error.strerror}")
        sys.exit(FAILED)
    except AuthWorkerError as error:
        _print_error(str(error))
        sys.exit(UNREACHABLE if isinstance(error, BrokerError) else FAILED)


def _print_error(text: str) -> None:
    from auth_worker.cli.console import print_error

    print_error(text)

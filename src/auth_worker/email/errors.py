"""Errors that end an e-mail job for good. What a retry may help is an ``EmailDispatchError`` instead.

::

    UnrecoverableError
    ├── EmailRefusedError   the mail server refuses this recipient or this message permanently
    └── EmailExpiredError   the link or code expired before it could be sent
"""

from __future__ import annotations

from auth_worker.errors import UnrecoverableError


class EmailRefusedError(UnrecoverableError):
    """The mail server refused the recipient or the message with a 5xx reply. The address is masked.

    ``code`` is the SMTP reply code, or 0 if the mail could not be offered to the server at all.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class EmailExpiredError(UnrecoverableError):
    """The link or code in the mail has expired. Sending it would only mislead the reader."""

    reason_class = "expired"

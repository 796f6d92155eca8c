"""Why an e-mail job ends for good. What a retry can help is an ``EmailDispatchError`` instead.

::

    UnrecoverableError
    ├── EmailRefusedError   the mail server refuses this recipient or this message, now and later
    └── EmailExpiredError   the link or code ran out before it could be sent
"""

from __future__ import annotations

from auth_worker.errors import UnrecoverableError


class EmailRefusedError(UnrecoverableError):
    """The mail server refused the recipient or the message with a 5xx reply; the address is masked.

    ``code`` is the SMTP reply code, 0 where the mail could not be offered to the server at all.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class EmailExpiredError(UnrecoverableError):
    """The link or code of the mail has expired: sending it would only mislead its reader."""

    reason_class = "expired"

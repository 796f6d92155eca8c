"""Decides what a mail server's refusal means for a job: failure for good, or another attempt.

A 5xx reply about the recipient or the message ends the job. One about our login, our address, our quota or our
network does not: the operator fixes it while the jobs wait for their next attempt. ``refusals`` tells them apart.
"""

from __future__ import annotations

import re
import ssl

import aiosmtplib

from auth_worker.email.errors import EmailRefusedError
from auth_worker.email.mail_redaction import mask_address, mask_reply
from auth_worker.email.refusals import Stage, Subject, subject_of
from auth_worker.errors import EmailDispatchError

_CLOSES, _PERMANENT = 421, 500
_PREFIX = re.compile(r"^Error connecting to \S+ on port \d+: ")

_LOGIN_REMEDY = "check AUTH_WORKER_SMTP_USERNAME and AUTH_WORKER_SMTP_PASSWORD"
_SENDER_REMEDY = "check AUTH_WORKER_EMAIL_FROM, and whether this login may send from that address"
_SET_UP_REMEDY = f"{_LOGIN_REMEDY}, AUTH_WORKER_SMTP_SECURITY and AUTH_WORKER_EMAIL_FROM"

DeliveryError = EmailDispatchError | EmailRefusedError


def delivery_error(error: BaseException, server: str, recipient: str = "") -> DeliveryError:
    """Return the error that ends a job's attempt, for an error of aiosmtplib, the network or TLS.

    ``server`` is host and port. Neither the text nor the ``cause`` holds an unmasked address or link.
    """
    stage = _stage_of(error)
    if stage is not None and isinstance(error, aiosmtplib.SMTPResponseException):
        return _refused(error, stage, server, recipient)
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            return _retry(f"Mail server {server} refused the login", error, _LOGIN_REMEDY)
        case aiosmtplib.SMTPResponseException() if error.code >= 200:
            return _retry(f"Mail server {server} refused the connection", error)
        case aiosmtplib.SMTPNotSupported():
            return EmailRefusedError(
                f"Mail server {server} cannot take the recipient {mask_address(recipient)}: it lacks SMTPUTF8"
            )
    return _about_connection(error, server)


def is_about_connection(error: BaseException) -> bool:
    """Whether the connection is lost, or the server refuses what it would accept on a new one."""
    stage = _stage_of(error)
    if stage is None or not isinstance(error, aiosmtplib.SMTPResponseException):
        return isinstance(error, OSError) or getattr(error, "code", 0) == _CLOSES
    return subject_of(stage, error.code, error.message) is Subject.CONNECTION


def _stage_of(error: BaseException) -> Stage | None:
    match error:
        case aiosmtplib.SMTPSenderRefused():
            return Stage.MAIL
        case aiosmtplib.SMTPRecipientRefused():
            return Stage.RCPT
        case aiosmtplib.SMTPDataError():
            return Stage.DATA
    return None


def _refused(error: aiosmtplib.SMTPResponseException, stage: Stage, server: str, recipient: str) -> DeliveryError:
    subject = subject_of(stage, error.code, error.message)
    masked = mask_address(recipient)
    what = {Stage.MAIL: "sender", Stage.RCPT: f"recipient {masked}", Stage.DATA: f"message for {masked}"}[stage]
    if subject is Subject.MESSAGE:
        what = f"message for {masked}"
    refused = f"Mail server {server} refused the {what}"
    if error.code < _PERMANENT:
        return _retry(refused, error)
    if subject in (Subject.RECIPIENT, Subject.MESSAGE):
        return EmailRefusedError(f"{refused}: {_reply(error)}", error.code)
    if stage is Stage.MAIL:
        return _retry(refused, error, _LOGIN_REMEDY if subject is Subject.CONNECTION else _SENDER_REMEDY)
    return _retry(refused, error, _SET_UP_REMEDY)


def _about_connection(error: BaseException, server: str) -> EmailDispatchError:
    tls_error = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(tls_error, ssl.SSLCertVerificationError):
        return EmailDispatchError(
            f"The certificate of mail server {server} cannot be trusted ({tls_error.verify_message}): "
            "set AUTH_WORKER_SMTP_CA_FILE, or AUTH_WORKER_SMTP_HOST to the name in the certificate",
            error,
        )
    if isinstance(tls_error, ssl.SSLError):
        return EmailDispatchError(
            f"No encrypted connection to mail server {server} ({tls_error.reason}): "
            "check AUTH_WORKER_SMTP_PORT and AUTH_WORKER_SMTP_SECURITY",
            error,
        )
    if isinstance(error, TimeoutError):
        return EmailDispatchError(f"Mail server {server} did not answer in time", error)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return EmailDispatchError(f"Mail server {server} does not speak SMTP: {mask_reply(error.message)}")
    reason = _PREFIX.sub("", str(error)) or type(error).__name__
    return EmailDispatchError(f"Mail server {server} could not be used: {reason}", error)


def _retry(what: str, error: aiosmtplib.SMTPResponseException, remedy: str = "") -> EmailDispatchError:
    # The original error holds the recipient's address, and a traceback prints its cause.
    cause = aiosmtplib.SMTPResponseException(error.code, mask_reply(error.message))
    return EmailDispatchError(f"{what}: {_reply(error)}" + (f" ({remedy})" if remedy else ""), cause)


def _reply(error: aiosmtplib.SMTPResponseException) -> str:
    return f"{error.code} {mask_reply(error.message)}".strip()

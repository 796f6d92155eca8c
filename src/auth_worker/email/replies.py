"""What a mail server's refusal means for a job: dead at once, or worth another attempt.

A 5xx reply about the recipient or the message (RFC 5321, 4.2.1; RFC 3463) ends the job. One about our login,
our address or our network does not: the operator mends it while the jobs wait for their next attempt.
"""

from __future__ import annotations

import re
import ssl

import aiosmtplib

from auth_worker.email.errors import EmailRefusedError
from auth_worker.email.masking import mask_address, mask_text
from auth_worker.errors import EmailDispatchError

_OUR_CODES = {500, 502, 503, 504, 530, 534, 535, 538}
"""Command not understood or out of order, login or encryption required or refused (RFC 5321, RFC 4954)."""
_OUR_STATUS = re.compile(r"^\s*5\.(?:3\.5|7\.(?:[89]|14|2[0-7]))\b")
"""Enhanced status codes about our set-up, our login, and SPF, DKIM and DMARC of our domain (RFC 7372)."""
_OUR_FAULT = re.compile(r"\brelay|authenticat|client host|blacklist|block ?list|blocked using", re.IGNORECASE)
"""What 5.7.1 and bare 550 or 554 say by text alone: relaying denied, login required, our host listed."""
_PREFIX = re.compile(r"^Error connecting to \S+ on port \d+: ")
_MESSAGE_STATUS = re.compile(r"^\s*5\.(?:3\.4|6\.\d+)\b")
"""The message is too big or its content cannot be carried, which some servers say at MAIL already."""

_LOGIN_REMEDY = "check AUTH_WORKER_SMTP_USERNAME and AUTH_WORKER_SMTP_PASSWORD"
_SENDER_REMEDY = "check AUTH_WORKER_EMAIL_FROM, and whether this login may send from that address"
_SET_UP_REMEDY = f"{_LOGIN_REMEDY}, AUTH_WORKER_SMTP_SECURITY and AUTH_WORKER_EMAIL_FROM"

Outcome = EmailDispatchError | EmailRefusedError


def outcome_of(error: BaseException, server: str, recipient: str = "") -> Outcome:
    """The error a job ends its attempt with, for an error of aiosmtplib, the network or TLS.

    ``server`` is host and port. Neither the text nor the ``cause`` holds an address or a link unmasked.
    """
    match error:
        case aiosmtplib.SMTPRecipientRefused() | aiosmtplib.SMTPDataError():
            what = "message for" if isinstance(error, aiosmtplib.SMTPDataError) else "recipient"
            return _about_mail(error, server, f"{what} {mask_address(recipient)}")
        case aiosmtplib.SMTPSenderRefused():
            return _about_sender(error, server, recipient)
        case aiosmtplib.SMTPAuthenticationError():
            return _retry(f"Mail server {server} refused the login", error, _LOGIN_REMEDY)
        case aiosmtplib.SMTPResponseException() if error.code >= 200:
            return _retry(f"Mail server {server} refused the connection", error)
        case aiosmtplib.SMTPNotSupported():
            return EmailRefusedError(
                f"Mail server {server} cannot take the recipient {mask_address(recipient)}: it lacks SMTPUTF8"
            )
    return _about_connection(error, server)


def _about_mail(error: aiosmtplib.SMTPResponseException, server: str, what: str) -> Outcome:
    refused = f"Mail server {server} refused the {what}"
    text = error.message
    if error.code < 500:
        return _retry(refused, error)
    if error.code in _OUR_CODES or _OUR_STATUS.match(text) or _OUR_FAULT.search(text):
        return _retry(refused, error, _SET_UP_REMEDY)
    return EmailRefusedError(f"{refused}: {_reply(error)}", error.code)


def _about_sender(error: aiosmtplib.SMTPSenderRefused, server: str, recipient: str) -> Outcome:
    if error.code == 552 or (error.code >= 500 and _MESSAGE_STATUS.match(error.message)):
        return _about_mail(error, server, f"message for {mask_address(recipient)}")
    remedy = _LOGIN_REMEDY if error.code in _OUR_CODES else _SENDER_REMEDY
    return _retry(f"Mail server {server} refused the sender", error, remedy if error.code >= 500 else "")


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
        return EmailDispatchError(f"Mail server {server} does not speak SMTP: {mask_text(error.message)}")
    reason = _PREFIX.sub("", str(error)) or type(error).__name__
    return EmailDispatchError(f"Mail server {server} could not be used: {reason}", error)


def _retry(what: str, error: aiosmtplib.SMTPResponseException, remedy: str = "") -> EmailDispatchError:
    # The original holds the recipient's address, and a traceback prints its cause.
    cause = aiosmtplib.SMTPResponseException(error.code, mask_text(error.message))
    return EmailDispatchError(f"{what}: {_reply(error)}" + (f" ({remedy})" if remedy else ""), cause)


def _reply(error: aiosmtplib.SMTPResponseException) -> str:
    return f"{error.code} {mask_text(error.message)}".strip()

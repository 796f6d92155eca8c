"""Validates and normalizes addresses and header values."""

from __future__ import annotations

import re
from email import policy
from email.headerregistry import Address
from typing import NamedTuple

from email_validator import EmailNotValidError, validate_email

from auth_worker.errors import ConfigurationError

_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BIDI_CONTROLS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINK_LIKE = re.compile(r"://|@|\bwww\b|\w\.\w{2,}", re.IGNORECASE)
_PRIVATE_END = re.compile(r"(?<=[.@])(?:localhost|local|test)\Z", re.IGNORECASE)
_LONGEST_SHOWN_NAME = 60


class Sender(NamedTuple):
    """The sender of mails: display name, address in ASCII, and its domain."""

    display_name: str
    address: str
    domain: str


def refuse_unsendable(value: str) -> str:
    """Return ``value``, or raise ``ValueError`` if it holds a control character or a lone surrogate.

    Check before stripping anything: the standard library strips first, and a trailing newline that it accepts ends
    the header block.
    """
    if _UNSENDABLE.search(value):
        raise ValueError("must not contain control characters, line breaks or lone surrogates")
    return value


def recipient_address(value: str) -> str:
    """Return one address in its wire form: the domain in ASCII (IDNA), the local part normalized.

    The result is not ASCII only if the local part is not (that needs SMTPUTF8). Raises ``ValueError``, without the
    value, for anything but exactly one plain address. Does not query DNS.
    """
    refuse_unsendable(value)
    name, end = _split_private_end(value)
    try:
        # A bare host name may be valid within an intranet: only the mail server knows.
        valid = validate_email(
            f"{name}example" if end else value,
            check_deliverability=False,
            allow_quoted_local=True,
            globally_deliverable=False,
            strict=True,
        )
    except EmailNotValidError:
        raise ValueError("must be a valid e-mail address") from None
    domain = f"{valid.ascii_domain.removesuffix('example')}{end}" if end else valid.ascii_domain
    return f"{valid.local_part}@{domain}"


def _split_private_end(value: str) -> tuple[str, str]:
    """Split off a top-level domain of private networks, which email-validator always refuses."""
    found = _PRIVATE_END.search(value)
    return (value[: found.start()], found[0].lower()) if found else (value, "")


def sender_from(value: str) -> Sender:
    """Read the setting ``email_from``: ``Name <address>`` or an address alone.

    Raises ``ConfigurationError`` unless it is one valid address without control characters.
    """
    try:
        refuse_unsendable(value)
        header = policy.SMTP.header_factory("From", value)
        if header.defects or len(header.addresses) != 1:
            raise ValueError("must be one address")
        address = recipient_address(header.addresses[0].addr_spec)
        if not address.isascii():
            raise ValueError("must have an ASCII local part")
    except ValueError as error:
        raise ConfigurationError(
            f"email_from (AUTH_WORKER_EMAIL_FROM) {error}, such as 'Example <no-reply@example.org>'"
        ) from None
    return Sender(header.addresses[0].display_name, address, address.rpartition("@")[2])


def shown_name(name: str | None) -> str:
    """Return the name if it is safe to show in a mail, or "" to greet without one.

    Anybody can sign up a stranger's address under any name. So a name that mail clients would turn into a link, or
    that reorders the text around it, must not reach that stranger in our mail.
    """
    name = " ".join((name or "").split())
    if len(name) > _LONGEST_SHOWN_NAME or _LINK_LIKE.search(name) or _BIDI_CONTROLS.search(name):
        return ""
    return name


def mailbox(display_name: str, address: str) -> Address:
    """Build a header's address from parts that ``recipient_address`` has accepted."""
    local, _, domain = address.rpartition("@")
    if local.startswith('"'):
        local = re.sub(r"\\(.)", r"\1", local[1:-1])  # ``Address`` quotes it again
    return Address(display_name=display_name, username=local, domain=domain)

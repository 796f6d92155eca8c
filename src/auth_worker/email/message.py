"""Composes messages whose headers cannot be injected into, with the same identity at every attempt."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage

from auth_worker.email.addresses import Sender, mailbox, recipient_address, refuse_unsendable
from auth_worker.email.rendering import RenderedEmail
from auth_worker.errors import InvalidJobDataError


def message_id_of(queue_name: str, job_id: str, timestamp: int, domain: str) -> str:
    """Return the Message-ID of a job's mail, the same at every attempt, so that servers can detect a duplicate.

    ``timestamp`` (ms, when the job was added) is part of it because job ids are counters: they restart at 1 in
    every new Redis, and a mail with the Message-ID of another may be dropped silently.
    """
    identity = "\0".join((queue_name, job_id, str(timestamp))).encode(errors="backslashreplace")
    return f"<{hashlib.sha256(identity).hexdigest()[:32]}@{domain}>"


def compose(
    *, sender: Sender, to: str, display_name: str, message_id: str, content: RenderedEmail
) -> EmailMessage:
    """Compose a text and HTML message from ``sender`` to one recipient.

    Raises ``InvalidJobDataError`` if a header cannot hold a value.
    """
    local, _, domain = _checked(to).rpartition("@")
    rules = policy.SMTP if local.isascii() else policy.SMTPUTF8
    message = EmailMessage(policy=rules)
    message["From"] = mailbox(sender.display_name, sender.address)
    message["To"] = _recipient(_header_value("name", display_name), f"{local}@{domain}", rules)
    message["Subject"] = _header_value("subject", content.subject)
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = _header_value("messageId", message_id)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    # Quoted-printable keeps every line short and ASCII, whatever the servers in between support.
    message.set_content(content.text, cte="quoted-printable")
    message.add_alternative(content.html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}")
    return message


def serialized(message: EmailMessage) -> bytes:
    """Serialize the message for the wire, with CRLF line ends, in ASCII unless an address needs SMTPUTF8.

    Raises ``InvalidJobDataError`` if a header cannot be encoded; those that ``compose`` creates can.
    """
    try:
        return message.as_bytes(policy=policy.SMTP.clone(utf8=getattr(message.policy, "utf8", False)))
    except UnicodeError:
        fields = [{"field": "headers", "message": "must be encodable"}]
    raise InvalidJobDataError("Invalid e-mail", fields)


def _checked(to: str) -> str:
    try:
        return recipient_address(to)
    except ValueError as error:
        raise InvalidJobDataError("Invalid e-mail", [{"field": "email", "message": str(error)}]) from None


def _header_value(field: str, value: str) -> str:
    try:
        return refuse_unsendable(value)
    except ValueError as error:
        raise InvalidJobDataError("Invalid e-mail", [{"field": field, "message": str(error)}]) from None


def _recipient(display_name: str, address: str, rules: policy.EmailPolicy[EmailMessage]) -> Address:
    """Build the recipient with its name, or without if the standard library's folding would break the name."""
    named = mailbox(display_name, address)
    header = rules.header_factory("To", named)
    folded = rules.fold("To", header).partition(":")[2].replace("\r\n", "")
    read_back = rules.header_factory("To", folded.strip())
    if not read_back.defects and [found.addr_spec for found in read_back.addresses] == [named.addr_spec]:
        return named
    return mailbox("", address)

"""Masks e-mail addresses and the replies of mail servers, for logs, errors and dead letters.

This is stricter than ``core.redaction``: a mail server quotes what it refuses, so every link, token and number of
4 to 10 digits is masked whole, and a reply is cut to one line of 300 characters.
"""

from __future__ import annotations

import re

_LONGEST_REPLY = 300
_LINK = re.compile(r"[a-z][a-z0-9+.-]*://\S+|\bwww\.\S+", re.IGNORECASE)
_ADDRESS = re.compile(r"\"(?:[^\"\\]|\\.)+\"@[^\s<>()\[\],;:\"'=@]+|[^\s<>()\[\],;:\"'=@]+@[^\s<>()\[\],;:\"'=@]+")
_TOKEN = re.compile(r"[A-Za-z0-9_\-+/=]{20,}")
_CODE = re.compile(r"(?<![\w.])\d{4,10}(?![\w.]*\d)")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def mask_address(address: str) -> str:
    """Mask an address: ``alice@example.org`` becomes ``a***@example.org``. A text without @ is hidden."""
    local, at, domain = _UNPRINTABLE.sub("", address).rpartition("@")
    first = local.lstrip('"')[:1]  # the first character within a quoted local part
    return f"{first}***@{domain}" if at else "***"


def mask_reply(text: str) -> str:
    """Hide addresses, links, codes and tokens in a server's reply, and cut it to one line of 300 characters.

    Servers echo what they refuse: the address, and content filters even the rejected link.
    """
    text = _UNPRINTABLE.sub(" ", text[: 4 * _LONGEST_REPLY])
    text = _LINK.sub("<link>", text)
    text = _ADDRESS.sub(lambda match: mask_address(match[0]), text)
    text = _CODE.sub("****", _TOKEN.sub("***", text))
    return " ".join(text.split())[:_LONGEST_REPLY]

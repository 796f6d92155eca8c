"""Encodes texts for Redis, and decodes what is stored there, where anybody may write. Never raises."""

from __future__ import annotations

import re


def stored_bytes(text: str) -> bytes:
    """Encode ``text`` as Redis stores it: the inverse of ``exact_text``. Other lone surrogates are escaped."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace")


def exact_text(value: bytes) -> str:
    """Decode an id or a key. Bytes that are not UTF-8 become surrogates, as ``stored_bytes`` reads them."""
    return value.decode("utf-8", "surrogateescape")


def shown_text(value: bytes) -> str:
    """Decode a text to show. Bytes that are not UTF-8 are escaped."""
    return value.decode(errors="backslashreplace")


def glob_escaped(text: str) -> str:
    """Escape ``text`` for a pattern of Redis (SCAN MATCH, ACL)."""
    return re.sub(r"[*?\[\]\\]", r"\\\g<0>", text)

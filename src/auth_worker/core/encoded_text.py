"""Decodes text files that people write: UTF-8, on Windows with a byte order mark."""

from __future__ import annotations

import codecs


def without_mark(data: bytes) -> bytes:
    """Remove the byte order mark from the beginning of a UTF-8 file.

    Raises ``ValueError`` if the mark says that the file is UTF-16 or UTF-32.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise ValueError("it is UTF-16 or UTF-32: save it as UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def decode_utf8(data: bytes) -> str:
    """Decode a UTF-8 file, without its byte order mark. Raises ``ValueError`` for any other encoding."""
    return without_mark(data).decode()


def strip_text(text: str) -> str:
    """Strip whitespace and byte order marks around ``text``: files that people write end with a line end."""
    return text.strip().strip("\ufeff").strip()

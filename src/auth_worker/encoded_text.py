"""Text files as people make them: UTF-8, on Windows with a byte order mark before it."""

from __future__ import annotations

import codecs


def without_mark(data: bytes) -> bytes:
    """The beginning of a UTF-8 file without its byte order mark.

    Raises ``ValueError`` where the mark says that it is UTF-16 or UTF-32.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        raise ValueError("it is UTF-16 or UTF-32: save it as UTF-8")
    return data.removeprefix(codecs.BOM_UTF8)


def decode_utf8(data: bytes) -> str:
    """The text of a UTF-8 file, without its byte order mark. Raises ``ValueError`` for any other encoding."""
    return without_mark(data).decode()

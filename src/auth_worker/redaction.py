"""Redaction: masks what may be secret in a text that leaves the service for a log.

What an error says is free text: it may quote a link with a token, a code, an address. The patterns err on the
side of masking; a reader who needs the text has the job itself, in Redis, behind access control.
"""

from __future__ import annotations

import re

LONGEST = 2000
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@\"']*@"), r"\1***@"),
    (re.compile(r"(https?://[^/\s\"'<>]+)[^\s\"'<>]*"), r"\1/***"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){1,2}"), "***"),
    (
        re.compile(
            r"(?i)([\w-]*(?:pass(?:word|wd)?|secret|token|otp|pin|code|authorization|cookie|api[_-]?key|session|"
            r"signature)[\w-]*[\"']?\s*[:=]\s*(?:bearer\s+)?[\"']?)[^\s\"',;}&]+"
        ),
        r"\1***",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+"), r"\1 ***"),
    (
        re.compile(r"([A-Za-z0-9._%+-])[A-Za-z0-9._%+-]*@([A-Za-z0-9.-]+\.[A-Za-z]{2,}|localhost)"),
        r"\1***@\2",
    ),
    (re.compile(r"\b[0-9a-fA-F]{24,}\b"), "***"),
    (re.compile(r"\b(?=[A-Za-z0-9_-]*\d)(?=[A-Za-z0-9_-]*[A-Za-z])[A-Za-z0-9_-]{32,}\b"), "***"),
    (re.compile(r"(?<![\w.:-])\d{4,8}(?![\w.:-])"), "***"),
)


def redact(text: str) -> str:
    """``text`` with secrets masked, on one line, and not longer than 2000 characters."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text[: 4 * LONGEST])
    return text[:LONGEST].replace("\r", "\\r").replace("\n", "\\n")

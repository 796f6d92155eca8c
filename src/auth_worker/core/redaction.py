"""Masks what may be secret in a text that leaves the service for a log.

An error message is free text: it may quote a link with a token, a code, an address. The patterns err on the side
of masking. A reader who needs the text finds the job itself in Redis, behind access control.

The text is untrusted, so every pattern runs in linear time: none can start anywhere within a run of characters
that it would then read to the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from auth_worker.core.terminal_text import MOST_BITS, visible

LONGEST = 2000
_HOST = r"(?:[\w.-]*|\[[0-9a-fA-F:.]+(?:%\w+)?\])(?::\d+)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*")
_KEY = (
    r"(?:pass(?:word|wd|phrase|code|key|wort)?s?(?-i:(?![a-z]))|pwd|(?<!uni)(?<!en)(?<!de)code(?-i:(?![a-z]))|(?-i:(?<![A-Za-z])pin|"
    r"PIN|Pin)(?-i:(?![a-z]))|secret|token|otp|authorization|api[_-]?key|private[_-]?key|session|signature)"
)
_PROBLEM = r" (?:is (?:required|not)|must (?:be|have|not)|(?:Input|String) should|Field required|Value error,)"
"""A validation message after a field that is named like a secret. It is not the field's value."""
_VALUE = r"(?:\"(?:[^\"\\]|\\+.)*\"?|'(?:[^'\\]|\\+.)*'?|[^\s\"',;}&]+)"
_PORT = r"(?P<port>\('[0-9a-fA-F.:]{3,45}', \d{1,5}(?=[,)])|\bport[ =:]{1,2}\d{1,5}(?!\w))"
"""The port of an address, as asyncio and database drivers write it."""


def _url(match: re.Match[str]) -> str:
    """Keep a URL's scheme and hosts. Mask user and password, and for web addresses path and query."""
    scheme, rest = match.group(1) or "", match.group(2)
    if not scheme and "@" in rest:
        return f"://***@{rest.rpartition('@')[2]}"
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    credentials, _, hosts = authority.rpartition("@")
    kept = ("***@" if credentials else "") + (hosts if _HOSTS.fullmatch(hosts) else "***")
    rest = rest[len(authority) :]
    return f"{scheme}://{kept}{'/***' if scheme and rest else rest}"


_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
_QUOTATIONS: tuple[_Rule, ...] = (
    (re.compile(r"(input_value=)(?:(?!, input_type=)[^\n])*"), r"\1***"),  # pydantic's format
    (
        re.compile(
            r"(unconverted data remains: |unknown encoding: |with args beginning with: |"
            r"No time zone found with key |invalid literal for int\(\) with base \d{1,2}: |"
            r"could not convert string to float: |"
            r"Invalid isoformat string: |DETAIL: {0,9}|LINE \d{1,9}: |\[parameters: |\[SQL: )[^\n]*"
        ),
        r"\1***",
    ),
    (re.compile(r"\)=\([^)\n]*\)"), ")=(***)"),  # the key of a row, as quoted by PostgreSQL
)
"""What pydantic, Python and SQL drivers quote of their input in their messages."""
_RULES: tuple[_Rule, ...] = (
    *_QUOTATIONS,
    (re.compile(r"(https?)?://([^\s\"'<>]+)", re.IGNORECASE), _url),
    (re.compile(r"(?<![\w-])eyJ[\w-]{5,}(?:\.[\w-]*){1,4}"), "***"),
    (re.compile(r"(?i)(cookie[\"']?\s{0,9}[:=])[^\r\n]+"), r"\1 ***"),
    (
        re.compile(
            rf"(?i)({_KEY}[\w-]{{0,40}}[\"']?\s{{0,9}}[:=](?!{_PROBLEM})\s{{0,9}}(?:(?:bearer|basic|digest)\s{{1,9}})?){_VALUE}"
        ),
        r"\1***",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s{1,9}[A-Za-z0-9._~+/=-]+"), r"\1 ***"),
    (re.compile(r"(?<![\w.%+-])([\w.%+-])[\w.%+-]*@([\w.-]+\.[^\W\d_]{2,}|localhost)"), r"\1***@\2"),
    (re.compile(r"\"(?:[^\"\\\n]|\\.){1,64}\"@([\w.-]+\.[^\W\d_]{2,}|localhost)"), r"***@\1"),
    (re.compile(r"\b[0-9a-fA-F]{24,}\b"), "***"),
    (re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9_-]{32,}(?![\w-])"), "***"),
    (
        re.compile(
            r"(?<![\w+/=-])(?=[\w+/=-]*\d)(?=[\w+/=-]*[A-Z])(?=[\w+/=-]*[a-z])[A-Za-z0-9_+/=-]{20,}(?![\w+/=-])"
        ),
        "***",
    ),
    (re.compile(rf"{_PORT}|(?<![\w.:-])\d{{4,8}}(?!\w|[.:-]\w)"), lambda match: match["port"] or "***"),
)
DEEPEST, MOST_ITEMS = 6, 100
_SECRET_NAME = re.compile(rf"(?i){_KEY}|cookie")
_HARMLESS_NAME = re.compile(r"(?i)(?:status|exit|return|error|response|reply)[_-]?code")


def mask(text: str, longest: int = LONGEST) -> str:
    """Mask secrets in ``text`` and cut it to ``longest`` characters. Line ends stay."""
    if len(text) > 4 * longest:
        text = (text[: 4 * longest].rsplit(None, 1) or [""])[0]  # drop the last word, which may be half a secret
    return _replaced(text, _RULES)[:longest]


def mask_quotations(text: str, longest: int = LONGEST) -> str:
    """Remove from ``text``, which a person wrote, what errors quoted in it. Cuts it to ``longest`` characters."""
    return _replaced(text[: 4 * longest], _QUOTATIONS)[:longest]


def _replaced(text: str, rules: tuple[_Rule, ...]) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def redact(text: str) -> str:
    """Mask secrets in ``text`` and format it as one line of at most 2000 printable characters."""
    return visible(mask(text))[:LONGEST]


def masked_field(name: str, value: Any, depth: int = 0) -> Any:
    """Mask what may be secret in the field ``name`` of a log line, also within mappings and lists.

    A field that is called a password, a code or the like is masked whatever its value. Never raises.
    """
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_NAME.search(name) and not _HARMLESS_NAME.fullmatch(name):
        return "***"
    match value:
        case int() if value.bit_length() > MOST_BITS:
            return f"(a number of {value.bit_length()} bits)"
        case int() | float():
            return value
        case _ if depth > DEEPEST:
            return "..."
        case Mapping():
            kept = list(value.items())[:MOST_ITEMS]
            return {redact(_text(key)): masked_field(_text(key), item, depth + 1) for key, item in kept}
        case list() | tuple() | set() | frozenset():
            return [masked_field("", item, depth + 1) for item in list(value)[:MOST_ITEMS]]
    return redact(_text(value))


def _text(value: Any) -> str:
    """Convert ``value`` to text; bytes are decoded."""
    try:
        return value.decode(errors="backslashreplace") if isinstance(value, bytes | bytearray) else str(value)
    except Exception:
        return "(its text cannot be read)"

"""Reduces a failure to what similar ones share: its text without ids and numbers, and the place that raised it."""

from __future__ import annotations

import re

from auth_worker.admin.visible_data import masked
from auth_worker.core.json_codec import decode_or_text

LONGEST = 200
NO_REASON, NOWHERE = "no reason", "an unknown place"
"""Stand for an empty reason and for an unknown place, so that a filter can ask for them."""
MOST_TRACE = 20_000
"""How many characters of a stack trace are looked at, from its end."""
_TYPE = re.compile(r"[A-Za-z_][\w.]{0,99}(?=:|$)")
_VARIABLE = (
    (re.compile(r"[^\s<>'\"]?\*\*\*@[^\s<>'\",;:]+"), "<address>"),
    (
        re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}[0-9:.]*(?:Z|[+-][0-9]{2}:?[0-9]{2})?"),
        "<time>",
    ),
    (re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`"), "<text>"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b0[xX][0-9a-fA-F]+\b|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"\b(?=\w*[0-9])(?=\w*[A-Za-z_])\w{8,}\b"), "<id>"),
    (re.compile(r"[0-9]+(?:[.,:][0-9]+)*"), "<number>"),
)
_PYTHON_FRAME = re.compile(r'File "([^"\n]{1,500})", line \d+, in (\S{1,200})')
_NODE_FRAME = re.compile(
    r"^\s*at (?:async )?(?:(\S[^(\n]{0,200}?) \()?([^()\n]{1,500}?):\d+:\d+\)?$", re.MULTILINE
)


def normalized(reason: str) -> str:
    """Return the reason without what differs from job to job: numbers, ids, hex and quotations. Its type stays."""
    line = " ".join(str(masked(reason[:5000])).split())
    kind = _TYPE.match(line)
    start = kind.end() if kind else 0
    rest = line[start:]
    for pattern, replacement in _VARIABLE:
        rest = pattern.sub(replacement, rest)
    return (line[:start] + rest)[:LONGEST] or NO_REASON


def top_frame(stacktrace: str | None) -> str:
    """Return where the last attempt's error was raised: file and function, without the line, which changes.

    ``stacktrace`` is JSON as a worker in Python or Node stored it; its last entry is that of the last attempt.
    """
    if not stacktrace:
        return NOWHERE
    traces = decode_or_text(stacktrace)
    last = traces[-1] if isinstance(traces, list) and traces else traces
    if not isinstance(last, str):
        return NOWHERE
    frames = _PYTHON_FRAME.findall(last[-MOST_TRACE:])
    if frames:
        file, function = frames[-1]
        return _place(file, function)
    node = _NODE_FRAME.search(last[:MOST_TRACE])
    return _place(node[2], node[1] or "") if node else NOWHERE


def _place(file: str, function: str) -> str:
    short = "/".join(file.replace("\\", "/").split("/")[-2:])
    return (f"{short}, in {function}" if function else short)[:LONGEST]

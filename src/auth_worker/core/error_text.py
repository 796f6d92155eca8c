"""Formats exceptions as text: message and stack trace, without the values that they quote.

Every text of an exception that leaves the process is made here: ``failedReason``, stored stack traces, dead
letters, log fields, spans and Sentry events. Exceptions of pydantic and SQL drivers quote their input, and so do
Python's own (``invalid literal for int() with base 10: 'hunter2'``). Field names and types stay; quoted values,
parameters and what ``redaction`` knows as secret are masked.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from typing import Any

from auth_worker.core.redaction import mask, mask_quotations
from auth_worker.core.validation_errors import is_validation_error, validation_text, values_in
from auth_worker.errors import AuthWorkerError

MAX_REASON, MAX_TRACE = 8_192, 32_768
"""The longest message, and the longest stack trace, in characters."""
MOST_CAUSES, MOST_FRAMES, MOST_MEMBERS, MOST_NOTES = 5, 50, 10, 10
"""How many of each a stack trace shows."""
UNREADABLE = "(its message cannot be read)"
_QUOTED = re.compile(r"(?<!\w)[bruf]?(['\"])(?:\\.|(?!\1(?!\w)).)*(?:\1|\Z)", re.DOTALL)
_KEPT_BEFORE = re.compile(
    r"(?:<class |<enum |missing \d+ required [^\n:]*: (?:'\w+'(?:,? and |, ))*|for argument |for key |"
    r"\b(?:relation|constraint|column|table|index|schema|database|role|function|module|type|sequence|view|trigger|"
    r"operator|extension|element) )\Z"
)
_KEPT_AFTER = re.compile(r" (?:object\b|codec\b|attribute\b|must be\b)")
_KEPT_WORDS = frozenset(
    ("int", "float", "str", "bool", "bytes", "bytearray", "dict", "list", "tuple", "set", "frozenset", "NoneType")
)
_KEPT_INSIDE = re.compile(r"\W{1,3}|[1-5]\d\d [A-Za-z ]{2,40}")
"""Operators, and the status of an HTTP response."""
_FIELD = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,39}")
_UNEXPECTED_ARGUMENT = re.compile(r" unexpected keyword argument '(\w+)'(?:\. Did you mean '\w+'\?)?\Z")
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def error_text(error: BaseException, data: Any = None, *, own_words: bool = False) -> str:
    """Return the message of ``error`` with values and secrets masked, or its type if it has no message.

    ``data`` is the data of the job that was running: a missing key that is one of its values is masked. With
    ``own_words`` the messages of this package's own errors are kept, except for what they quote of other errors; a
    consumer gives its reason in one, and callers are answered with one. That is for the caller, and for Redis,
    where operators see it with ``--reveal``; a log redacts it again.
    """
    try:
        text = _message(error, data)
    except Exception:
        text = UNREADABLE
    masked = mask_quotations if own_words and isinstance(error, AuthWorkerError) else mask
    return masked(text, MAX_REASON) or type(error).__name__


def error_trace(error: BaseException, data: Any = None, longest: int = MAX_TRACE) -> str:
    """Format the stack traces of ``error``, its causes and its members as Python does, with values masked."""
    try:
        return _trace(error, data, set())[-longest:]
    except Exception:
        return f"{type(error).__name__} (its traceback cannot be read)"


def type_name(error: BaseException) -> str:
    """Return the type of ``error``, with its module unless it is a builtin."""
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def related(error: BaseException) -> list[BaseException]:
    """Return ``error``, its causes and contexts, and the members of groups, each once."""
    found: dict[int, BaseException] = {}
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and id(each) not in found:
            found[id(each)] = each
            left += [each.__cause__, each.__context__]
            left.extend(each.exceptions if isinstance(each, BaseExceptionGroup) else ())
    return list(found.values())


def one_line(text: str) -> str:
    """Join the lines of ``text``, so that none can pass for a log line of its own."""
    return (
        text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")
        if "\n" in text or "\r" in text
        else text
    )


def _message(error: BaseException, data: Any) -> str:
    if is_validation_error(error) and (text := validation_text(error)) is not None:
        return text
    if isinstance(error, BaseExceptionGroup):
        return f"{_without_quotes(error.message)} ({len(error.exceptions)} sub-exceptions)"
    if isinstance(error, KeyError) and len(error.args) == 1:
        return _key(error.args[0], data)
    if isinstance(original := getattr(error, "orig", None), BaseException) and hasattr(error, "params"):
        return (
            f"({type_name(original)}) {_message(original, data)}"  # SQLAlchemy's, without statement and parameters
        )
    if isinstance(error, OSError) and error.filename is not None and _is_value(str(error.filename), data):
        return f"[Errno {error.errno}] {error.strerror}: '***'"
    if getattr(error, "cmd", None) and hasattr(error, "output"):  # of subprocess
        code = getattr(error, "returncode", None)
        return "the command exceeded its timeout" if code is None else f"the command ended with exit status {code}"
    module = type(error).__module__.partition(".")[0]
    if module == "jsonschema" or (hasattr(error, "instance") and hasattr(error, "validator")):
        return f"the data does not match its schema ({getattr(error, 'validator', '?')})"
    if hasattr(error, "problem_mark") and hasattr(error, "problem"):  # of YAML, with a piece of the text
        return f"no YAML: {_without_quotes(str(error.problem))}"
    text = str(error)
    if isinstance(error, AttributeError) and _is_name(error.name, data):
        head, quoted, rest = text.partition(f" attribute '{error.name}'")
        return f"{_without_quotes(head)}{quoted}{_without_quotes(rest)}"
    if isinstance(error, TypeError) and (found := _UNEXPECTED_ARGUMENT.search(text)) and _is_name(found[1], data):
        return _without_quotes(text[: found.start()]) + found.group()
    is_of_system = isinstance(error, OSError | ImportError | NameError) and module in sys.stdlib_module_names
    return text if is_of_system or isinstance(error, AuthWorkerError) else _without_quotes(text)


def _is_name(name: object, data: Any) -> bool:
    """Whether ``name`` looks like a name in the code and is not a value of the job's data."""
    return isinstance(name, str) and _FIELD.fullmatch(name) is not None and not _is_value(name, data)


def _key(key: Any, data: Any) -> str:
    """Return a missing key if it looks like a field name and is not a value of the job's data."""
    if _is_name(key, data):
        return repr(key)
    if isinstance(key, str) and re.match(rf"{_FIELD.pattern}=", key):
        return f"'{mask(_without_quotes(key), MAX_REASON).partition('=')[0]}=***'"
    return "'***'" if isinstance(key, str | bytes) else "***"


def _is_value(text: str, data: Any) -> bool:
    """Whether ``text`` contains a text from ``data``."""
    return any(isinstance(part, str) and len(part) > 1 and part in text for part in values_in(data))


def _without_quotes(text: str, *, names: bool = False) -> str:
    """Mask what is quoted in ``text``. With ``names``, what looks like a field name stays."""
    text = text[: 4 * MAX_REASON]

    def masked(match: re.Match[str]) -> str:
        quoted, quote = match.group(), match.group(1)
        inside = quoted.lstrip("bruf")[1:].removesuffix(quote)
        before, after = text[max(match.start() - 120, 0) : match.start()], text[match.end() : match.end() + 20]
        if (
            inside in _KEPT_WORDS
            or _KEPT_INSIDE.fullmatch(inside)
            or _KEPT_BEFORE.search(before)
            or (_FIELD.fullmatch(inside) and (names or _KEPT_AFTER.match(after)))
        ):
            return quoted
        return f"{quote}***{quote}"

    return _QUOTED.sub(masked, text)


def _trace(error: BaseException, data: Any, seen: set[int]) -> str:
    """Format a chain of exceptions, first cause first. ``seen`` holds the ids of those that are shown already."""
    parts: list[str] = []
    each: BaseException | None = error
    between = ""
    for _ in range(MOST_CAUSES):
        if each is None or id(each) in seen:
            break
        seen.add(id(each))
        parts += [between, _single_trace(each, data, seen)]
        if each.__cause__ is not None:
            each, between = each.__cause__, _CAUSE
        else:
            each, between = (None if each.__suppress_context__ else each.__context__), _CONTEXT
    return "".join(reversed(parts)) or f"{type(error).__name__} (shown above)\n"


def _single_trace(error: BaseException, data: Any, seen: set[int]) -> str:
    if isinstance(remote := getattr(error, "masked_trace", None), str):
        return remote if remote.endswith("\n") else f"{remote}\n"
    frames = "".join(map(_frame, traceback.extract_tb(error.__traceback__, -MOST_FRAMES)))
    head = f"Traceback (most recent call last):\n{frames}" if frames else ""
    name = type_name(error).removeprefix("__main__.")
    text = one_line(error_text(error, data))
    last = name if text == type(error).__name__ else f"{name}: {text}"
    return "\n".join([f"{head}{last}", *_notes(error), *_members(error, data, seen)]) + "\n"


def _frame(frame: traceback.FrameSummary) -> str:
    """Format a stack frame and its line of source, in which texts other than field names are masked too."""
    source = mask(_without_quotes(frame.line or "", names=True))
    return f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n' + (
        f"    {source}\n" if source else ""
    )


def _notes(error: BaseException) -> Iterator[str]:
    notes = getattr(error, "__notes__", None)
    for note in notes[:MOST_NOTES] if isinstance(notes, list) else ():
        yield one_line(mask(_without_quotes(str(note))))


def _members(error: BaseException, data: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for number, member in enumerate(error.exceptions[:MOST_MEMBERS], 1):
            yield f"  +---------------- {number} ----------------"
            if len(seen) < 2 * MOST_FRAMES:
                yield from (f"    {line}" for line in _trace(member, data, seen).splitlines())

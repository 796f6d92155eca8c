"""The options of a job as flags: ``auth_worker.queue.JobOptions``, in the words of a shell."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from auth_worker.cli.completion import complete_queue
from auth_worker.cli.console import USAGE, fail
from auth_worker.cli.flags import BROKER
from auth_worker.coercion import MAX_NUMBER
from auth_worker.encoded_text import decode_utf8
from auth_worker.options import decode_json
from auth_worker.queue import JobOptions

TIMES, TRACES, FLOWS = "When and how often", "What stays", "Flows and traces"
UNITS_MS = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(ms|s|m|h|d|)")


def duration_ms(text: str) -> int:
    """Read ``250ms``, ``10s``, ``5m``, ``1.5h``, ``2d``, or a number of ms. Raises ``typer.BadParameter``."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 250ms, 10s, 5m, 2h or 1d")
    found_ms = round(float(found[1]) * UNITS_MS[found[2]])
    if found_ms > MAX_NUMBER:
        raise typer.BadParameter(f"{text!r} is too long")
    return found_ms


def backoff_of(text: str) -> Any:
    """Read ``10s``, ``exponential:1s`` or ``exponential:1s:0.5`` (with jitter), or JSON as BullMQ has it."""
    if text.lstrip().startswith("{"):
        return json_of(text)
    kind, colon, rest = text.partition(":")
    if not colon:
        return duration_ms(text)
    if kind not in ("fixed", "exponential"):
        raise typer.BadParameter(f"{kind!r} is not fixed or exponential")
    delay, _, jitter = rest.partition(":")
    try:
        return {"type": kind, "delay": duration_ms(delay), **({"jitter": float(jitter)} if jitter else {})}
    except ValueError:
        raise typer.BadParameter(f"the jitter {jitter!r} is not a number from 0 to 1") from None


def retention_of(text: str) -> Any:
    """Read ``true``, ``false``, a count, an age such as ``24h``, or JSON as BullMQ has it."""
    if text[:1] in "{tf-" or (text.isascii() and text.isdigit()):
        return json_of(text)
    return {"age": max(duration_ms(text) // 1000, 1)}


def deduplication_of(text: str) -> Any:
    """Read an id, or JSON as BullMQ has it."""
    return json_of(text) if text.lstrip().startswith("{") else {"id": text}


def json_of(text: str) -> Any:
    """Read JSON. Raises ``typer.BadParameter``."""
    try:
        return decode_json(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"is not JSON: {error}") from None


def data_of(argument: str | None) -> Any:
    """The data of ``--data``: JSON, ``@file``, ``-`` for stdin, or {} for none. Exits unless it is JSON."""
    where = "--data"
    text = "{}" if argument is None else argument
    try:
        if text == "-":
            where = "stdin"
            if sys.stdin is None:
                fail("--data -: stdin is closed", USAGE)
            text = decode_utf8(sys.stdin.buffer.read())
        elif text.startswith("@"):
            where = text[1:]
            text = decode_utf8(Path(where).read_bytes())
        return decode_json(text)
    except OSError as error:
        fail(f"{where} cannot be read: {error.strerror}", USAGE)
    except (ValueError, RecursionError) as error:
        fail(f"{where} is not JSON: {error}", USAGE)


def options_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The job options among the parameters of a command, those that were given."""
    return {
        name: value for name, value in parameters.items() if value is not None and name in JobOptions.model_fields
    }


def _flag(flag: str, metavar: str | None, text: str, panel: str, **options: Any) -> Any:
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=panel, show_default=False, **options)


Queue = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE", help="The queue, such as emailQueue.", show_default=False, autocompletion=complete_queue
    ),
]
Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The job's name; with --lines, of lines without one.", show_default=False),
]
Data = Annotated[
    str | None,
    typer.Option(metavar="JSON|@FILE|-", help="The job's data ({}); - reads stdin.", show_default=False),
]
Lines = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-",
        help='Many jobs, each a line {"name", "data", "opts"}; flags hold for those whose opts say nothing.',
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help='Print {"queue", "name", "id"}, one a line.')]
Timeout = Annotated[
    int | None, _flag("--timeout", "TIME", "How long to wait for Redis (10s).", BROKER, parser=duration_ms)
]
JobId = Annotated[str | None, _flag("--job-id", "ID", "Its id; one that exists is not added again.", TIMES)]
Delay = Annotated[
    int | None, _flag("--delay", "TIME", "Wait first: 250ms, 10s, 5m, 2h.", TIMES, parser=duration_ms)
]
Attempts = Annotated[int | None, _flag("--attempts", "N", "How often it may run in all.", TIMES)]
Backoff = Annotated[
    Any | None,
    _flag(
        "--backoff", "TIME|KIND:TIME", "Between attempts: 10s, exponential:1s or JSON.", TIMES, parser=backoff_of
    ),
]
Priority = Annotated[int | None, _flag("--priority", "N", "1 goes first, 2097151 last; none before all.", TIMES)]
Lifo = Annotated[bool | None, _flag("--lifo", None, "Before all that wait, not after them.", TIMES)]
RemoveOnComplete = Annotated[
    Any | None,
    _flag(
        "--remove-on-complete", "BOOL|N|TIME", "Once done: true, a count or an age.", TRACES, parser=retention_of
    ),
]
RemoveOnFail = Annotated[
    Any | None,
    _flag("--remove-on-fail", "BOOL|N|TIME", "Once failed: true, a count or an age.", TRACES, parser=retention_of),
]
Deduplication = Annotated[
    Any | None,
    _flag("--deduplication", "ID|JSON", "Drop it while one of this id is there.", TIMES, parser=deduplication_of),
]
KeepLogs = Annotated[int | None, _flag("--keep-logs", "N", "Log lines to keep.", TRACES)]
StackTraceLimit = Annotated[int | None, _flag("--stack-trace-limit", "N", "Stack traces to keep.", TRACES)]
SizeLimit = Annotated[int | None, _flag("--size-limit", "BYTES", "Refuse more data than this.", TRACES)]
Timestamp = Annotated[int | None, _flag("--timestamp", "MS", "When it was made (epoch ms).", TIMES)]
Parent = Annotated[
    Any | None, _flag("--parent", "JSON", '{"id": ..., "queue": "bull:..."}', FLOWS, parser=json_of)
]
FailParent = Annotated[
    bool | None, _flag("--fail-parent-on-failure", None, "Its failure fails its parent.", FLOWS)
]
ContinueParent = Annotated[
    bool | None, _flag("--continue-parent-on-failure", None, "Its failure starts its parent.", FLOWS)
]
IgnoreDependency = Annotated[
    bool | None, _flag("--ignore-dependency-on-failure", None, "Its parent does not mind its failure.", FLOWS)
]
RemoveDependency = Annotated[
    bool | None, _flag("--remove-dependency-on-failure", None, "Its parent forgets it if it fails.", FLOWS)
]
TelemetryMetadata = Annotated[str | None, _flag("--telemetry-metadata", "TEXT", "The trace it belongs to.", FLOWS)]
OmitContext = Annotated[bool | None, _flag("--omit-context", None, "It begins a trace of its own.", FLOWS)]

"""The flags of ``auth-worker add``: the job's data, and its options as in ``auth_worker.queue.JobOptions``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from auth_worker.cli.console import fail
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.parsers import backoff, deduplication, duration_ms, json_value, retention, whole_number
from auth_worker.core.encoded_text import decode_utf8, strip_text
from auth_worker.core.json_codec import decode_json

TIMES, TRACES, FLOWS = "When and how often", "What is kept", "Flows and traces"


def read_data(argument: str | None) -> Any:
    """Read the data of ``--data``: JSON, ``@file``, ``-`` for stdin; None is {}. Exits if it is not JSON."""
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
        return decode_json(strip_text(text))
    except OSError as error:
        fail(f"{where} cannot be read: {error.strerror}", USAGE)
    except (ValueError, RecursionError) as error:
        fail(f"{where} is not JSON: {error}", USAGE)


def flag(name: str, metavar: str | None, text: str, panel: str | None = None, **options: Any) -> Any:
    """Return a flag whose default its help does not show, in the ``panel`` of the help."""
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel, show_default=False, **options)


def retention_flag(event: str, jobs: str, panel: str | None = None) -> Any:
    """Return the flag that says which of the ``jobs`` to keep after ``event``."""
    text = f"Which {jobs} jobs to keep: true (none), a count or an age."
    return flag(f"--remove-on-{event}", "BOOL|N|TIME", text, panel, parser=retention)


Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help="The job's name; with --lines, that of lines without one.", show_default=False
    ),
]
Data = Annotated[
    str | None,
    typer.Option(metavar="JSON|@FILE|-", help="The job's data ({}); - reads stdin.", show_default=False),
]
Lines = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|-",
        help='Many jobs, one a line: {"name", "data", "opts"}; what opts leaves out is taken from the flags.',
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help='Print {"queue", "name", "id"}, one a line.')]


@dataclass(frozen=True)
class JobOptionFlags:
    """A flag for each field of ``JobOptions``; None: not given."""

    job_id: Annotated[
        str | None, flag("--job-id", "ID", "Its id; no second job is added with an id that exists.", TIMES)
    ] = None
    partition_key: Annotated[
        str | None, flag("--partition-key", "KEY", "Jobs with one key share a partition, if there are any.", TIMES)
    ] = None
    delay: Annotated[
        int | None,
        flag("--delay", "TIME", "How long it waits first: 250ms, 10s, 5m, 2h.", TIMES, parser=duration_ms),
    ] = None
    attempts: Annotated[
        int | None, flag("--attempts", "N", "How often it may run in all.", TIMES, parser=whole_number)
    ] = None
    backoff: Annotated[
        Any | None,
        flag(
            "--backoff",
            "TIME|KIND:TIME",
            "The delay between attempts: 10s, exponential:1s or JSON.",
            TIMES,
            parser=backoff,
        ),
    ] = None
    priority: Annotated[
        int | None,
        flag(
            "--priority",
            "N",
            "1 runs first, 2097151 last; without one, before all of them.",
            TIMES,
            parser=whole_number,
        ),
    ] = None
    lifo: Annotated[
        bool | None, flag("--lifo", None, "Run it before the jobs that wait, not after them.", TIMES)
    ] = None
    deduplication: Annotated[
        Any | None,
        flag(
            "--deduplication",
            "ID|JSON",
            "Do not add it while a job with this deduplication id exists.",
            TIMES,
            parser=deduplication,
        ),
    ] = None
    timestamp: Annotated[
        int | None, flag("--timestamp", "MS", "When it was created (epoch ms).", TIMES, parser=whole_number)
    ] = None
    remove_on_complete: Annotated[Any | None, retention_flag("complete", "completed", TRACES)] = None
    remove_on_fail: Annotated[Any | None, retention_flag("fail", "failed", TRACES)] = None
    keep_logs: Annotated[
        int | None, flag("--keep-logs", "N", "Log lines to keep.", TRACES, parser=whole_number)
    ] = None
    stack_trace_limit: Annotated[
        int | None, flag("--stack-trace-limit", "N", "Stack traces to keep.", TRACES, parser=whole_number)
    ] = None
    size_limit: Annotated[
        int | None, flag("--size-limit", "BYTES", "Refuse more data than this.", TRACES, parser=whole_number)
    ] = None
    parent: Annotated[
        Any | None, flag("--parent", "JSON", '{"id": ..., "queue": "bull:..."}', FLOWS, parser=json_value)
    ] = None
    fail_parent_on_failure: Annotated[
        bool | None, flag("--fail-parent-on-failure", None, "If it fails, its parent fails.", FLOWS)
    ] = None
    continue_parent_on_failure: Annotated[
        bool | None, flag("--continue-parent-on-failure", None, "If it fails, its parent runs at once.", FLOWS)
    ] = None
    ignore_dependency_on_failure: Annotated[
        bool | None,
        flag("--ignore-dependency-on-failure", None, "If it fails, its parent does not wait for it.", FLOWS),
    ] = None
    remove_dependency_on_failure: Annotated[
        bool | None,
        flag("--remove-dependency-on-failure", None, "If it fails, it is removed from its parent.", FLOWS),
    ] = None
    telemetry_metadata: Annotated[
        str | None, flag("--telemetry-metadata", "TEXT", "The trace it belongs to.", FLOWS)
    ] = None
    omit_context: Annotated[bool | None, flag("--omit-context", None, "It starts a trace of its own.", FLOWS)] = (
        None
    )

    def given(self) -> dict[str, Any]:
        """Return the options that were given."""
        return {name: value for name, value in vars(self).items() if value is not None}

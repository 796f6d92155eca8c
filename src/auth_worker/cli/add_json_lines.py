"""Adds many jobs from JSON lines, a block at a time, with a progress bar."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from auth_worker.cli.async_runner import new_runner
from auth_worker.cli.console import progress_bar, text
from auth_worker.core.encoded_text import decode_utf8, strip_text
from auth_worker.core.json_codec import decode_json
from auth_worker.core.names import check_job_id
from auth_worker.errors import AuthWorkerError, ConfigurationError
from auth_worker.queue import AddedJob, BulkJob, JobOptions, JobOptionsDict, JobQueue, job_options

BLOCK_BYTES = 1024 * 1024
KEYS = ("name", "data", "opts")
_NAMES = {field.alias: name for name, field in JobOptions.model_fields.items() if field.alias}
Entry = BulkJob
Block = tuple[list[Entry], int]
"""The jobs of some lines, and the length of the lines (bytes)."""


def add_json_lines(
    open_queue: Callable[[], JobQueue],
    source: str,
    default_name: str | None,
    on_added: Callable[[list[Entry], list[AddedJob]], None],
) -> int:
    """Add a job for each line of the file ``source`` (``-``: stdin); returns how many.

    A file is checked to its end before ``open_queue`` is called and its first job is added; from stdin, jobs are
    added as they arrive. ``on_added`` is called with each block of jobs and their ids. Raises
    ``ConfigurationError`` naming the invalid line, and ``BrokerError``; either message ends with how many jobs had
    been added.
    """
    added = 0
    with ExitStack() as stack:
        file = stack.enter_context(_open(source))
        size = os.fstat(file.fileno()).st_size if _is_file(file) else None
        if size is not None:
            for _ in _blocks(file, default_name):
                pass
            file.seek(0)
        queue = open_queue()
        runner = stack.enter_context(new_runner())
        counter = TextColumn("{task.fields[added]} jobs")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            counter,
            TimeElapsedColumn(),
        )
        progress = stack.enter_context(progress_bar(*columns))
        bar = progress.add_task(text(queue.name), total=size, added=0)
        try:
            for entries, read in _blocks(file, default_name):
                on_added(entries, runner.run(queue.add_bulk(entries)))
                added += len(entries)
                progress.update(bar, advance=read, added=added)
            return added
        except AuthWorkerError as error:
            raise type(error)(f"{error} (jobs added before: {added})") from error
        finally:
            runner.run(queue.close())


def _open(source: str) -> BinaryIO:
    if source == "-" and sys.stdin is None:
        raise ConfigurationError("stdin is closed: there are no lines to read")
    if source == "-":
        return cast(BinaryIO, os.fdopen(os.dup(sys.stdin.fileno()), "rb"))
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise ConfigurationError(f"{source} cannot be read: {error.strerror}") from error


def _is_file(file: BinaryIO) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _blocks(file: BinaryIO, default_name: str | None) -> Iterator[Block]:
    """Yield the jobs of each read at once, so that lines that arrive slowly are not held up."""
    number, rest = 0, b""
    while block := file.read1(BLOCK_BYTES):  # type: ignore[attr-defined]
        *lines, rest = (rest + block).split(b"\n")
        yield _entries(lines, number, default_name), len(block)
        number += len(lines)
    yield _entries([rest], number, default_name), 0


def _entries(lines: list[bytes], number: int, default_name: str | None) -> list[Entry]:
    entries = []
    for index, line in enumerate(lines, number + 1):
        try:
            if text := strip_text(
                decode_utf8(line)
            ):  # files that were joined may each begin with a byte order mark
                entries.append(_entry(text, default_name))
        except (ConfigurationError, ValueError) as error:
            raise ConfigurationError(f"line {index}: {error}") from error
    return entries


def _entry(line: str, default_name: str | None) -> Entry:
    try:
        entry = decode_json(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"not JSON: {error}") from error
    if not isinstance(entry, dict) or not entry.keys() <= set(KEYS):
        raise ConfigurationError('a job reads {"name": ..., "data": ..., "opts": {...}}, and has no other keys')
    name, opts = entry.get("name", default_name), entry.get("opts") or {}
    if not isinstance(name, str) or not name:
        raise ConfigurationError("the job has no name: give it one, or give NAME for all")
    if not isinstance(opts, dict):
        raise ConfigurationError("opts is not an object")
    opts = cast(JobOptionsDict, {_NAMES.get(key, key): value for key, value in opts.items()})
    options = job_options(opts)
    if options.job_id is not None:
        check_job_id(options.job_id)
    return {"name": name, "data": entry.get("data", {}), "opts": opts}

"""Many jobs from JSON lines, a block at a time, with a progress bar."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from auth_worker.cli.console import err, text
from auth_worker.cli.loop import new_runner
from auth_worker.encoded_text import without_mark
from auth_worker.errors import AuthWorkerError, ConfigurationError
from auth_worker.names import check_job_id
from auth_worker.options import decode_json
from auth_worker.queue import JobOptions, JobQueue, job_options

BLOCK_BYTES = 1024 * 1024
KEYS = ("name", "data", "opts")
_NAMES = {field.alias: name for name, field in JobOptions.model_fields.items() if field.alias}
Entry = dict[str, Any]
Block = tuple[list[Entry], int]
"""The jobs of some lines, and how many bytes those have."""


def add_lines(
    queue: JobQueue, source: str, default_name: str | None, on_added: Callable[[list[Entry], list[str]], None]
) -> int:
    """Add the job of each line of the file ``source`` (``-``: stdin); returns how many.

    A file is checked to its end before its first job is added; stdin is taken as it comes. ``on_added`` gets jobs
    and their ids. Raises ``ConfigurationError`` naming the line that is wrong, and ``BrokerError``; either says
    how many jobs were added before.
    """
    added = 0
    with ExitStack() as stack:
        file = stack.enter_context(_open(source))
        size = os.fstat(file.fileno()).st_size if _is_file(file) else None
        if size is not None:
            for _ in _blocks(file, default_name):
                pass
            file.seek(0)
        runner = stack.enter_context(new_runner())
        progress = stack.enter_context(_progress())
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
    """What one read gives at a time, so that lines that come slowly are not held up."""
    number, rest = 0, b""
    while block := file.read1(BLOCK_BYTES):  # type: ignore[attr-defined]
        *lines, rest = (rest + block).split(b"\n")
        if lines and not number:
            lines[0] = _first(lines[0])
        yield _entries(lines, number, default_name), len(block)
        number += len(lines)
    yield _entries([rest if number else _first(rest)], number, default_name), 0


def _first(line: bytes) -> bytes:
    try:
        return without_mark(line)
    except ValueError as error:
        raise ConfigurationError(f"line 1: {error}") from error


def _entries(lines: list[bytes], number: int, default_name: str | None) -> list[Entry]:
    entries = []
    for index, line in enumerate(lines, number + 1):
        if line.strip():
            try:
                entries.append(_entry(line, default_name))
            except ConfigurationError as error:
                raise ConfigurationError(f"line {index}: {error}") from error
    return entries


def _entry(line: bytes, default_name: str | None) -> Entry:
    try:
        entry = decode_json(line.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"not JSON: {error}") from error
    if not isinstance(entry, dict) or not entry.keys() <= set(KEYS):
        raise ConfigurationError('a job reads {"name": ..., "data": ..., "opts": {...}}, and has no other keys')
    name, opts = entry.get("name", default_name), entry.get("opts") or {}
    if not isinstance(name, str) or not name:
        raise ConfigurationError("the job has no name: give it one, or give NAME for all")
    if not isinstance(opts, dict):
        raise ConfigurationError("opts is not an object")
    opts = {_NAMES.get(key, key): value for key, value in opts.items()}
    options = job_options(opts)
    if options.job_id is not None:
        check_job_id(options.job_id)
    return {"name": name, "data": entry.get("data", {}), "opts": opts}


def _progress() -> Progress:
    console = err()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[added]} jobs"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        disable=not console.is_terminal,
    )

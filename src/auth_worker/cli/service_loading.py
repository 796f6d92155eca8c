"""Loads the user's service from ``package.module:service``, as uvicorn loads an application."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

from auth_worker.cli.console import fail
from auth_worker.cli.exit_codes import FAILED, USAGE
from auth_worker.core.error_text import error_text, error_trace
from auth_worker.core.terminal_text import visible_lines
from auth_worker.errors import AuthWorkerError
from auth_worker.service import WorkerService

FORM = "APP must be package.module:service, such as myapp.worker:service"


def load_target(spec: str) -> Any:
    """Import what ``spec`` names, with the current folder on the path; exits with a message if that fails.

    Raises ``AuthWorkerError`` if the module does.
    """
    name, _, attribute = spec.partition(":")
    if name.endswith(".py") or "/" in name:
        module = name.removesuffix(".py").strip("./").replace("/", ".")
        fail(f"{FORM}, not a file: try {module}:{attribute or 'service'}", USAGE)
    if not all(part.isidentifier() for part in (*name.split("."), *attribute.split("."))):
        fail(f"{FORM}, not {spec!r}", USAGE)
    found: Any = _import(name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, dir(found), n=1)
            fail(f"{name} has no {attribute!r}{f'; did you mean {close[0]}?' if close else ''}")
        found = getattr(found, part)
    return found


async def service_from(target: Any, spec: str) -> WorkerService:
    """Return the service that ``target`` is, or returns when called; exits with a message if it is neither.

    Raises ``AuthWorkerError`` if ``target`` does.
    """
    if not isinstance(target, WorkerService) and callable(target):
        try:
            target = target()
            if inspect.isawaitable(target):
                target = await target
        except AuthWorkerError:
            raise
        except Exception as error:
            _fail_with_trace(f"{spec} could not be called", error)
    if not isinstance(target, WorkerService):
        kind = type(target).__name__
        fail(f"{spec} is a {kind}: it must be a WorkerService, or a function without arguments that returns one")
    if not target.get_processors():
        fail(f"{spec} has no processor, so it would have nothing to do: call register_processor first")
    return target


def _import(name: str) -> ModuleType:
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except AuthWorkerError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            remedy = "run from the folder that contains it, or install it"
            place = Path(folder, "src", *error.name.split("."))
            if place.is_dir() or place.with_suffix(".py").is_file():
                remedy = "it is in src: install your project (pip install -e .), or set PYTHONPATH=src"
            fail(f"there is no module {error.name!r} in {folder} or among the installed packages: {remedy}")
        _fail_with_trace(f"{name} could not be imported", error)
    except (Exception, SystemExit) as error:
        _fail_with_trace(f"{name} could not be imported", error)


def _fail_with_trace(what: str, error: BaseException) -> NoReturn:
    """Print where in the user's code ``error`` was raised, and exit."""
    sys.stderr.write(visible_lines(error_trace(error.with_traceback(_users_part(error.__traceback__)))))
    fail(f"{what}: {type(error).__name__}: {error_text(error)}", FAILED)


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return the trace from the first frame that belongs neither to us nor to the import system."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != __file__ and "importlib" not in file:
            return trace
        trace = trace.tb_next
    return None

"""Sets up a worker process: where it finds the consumer, the main module and the logging."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from auth_worker.core.error_text import error_text
from auth_worker.engine.executors.transport import framed
from auth_worker.errors import ConfigurationError

if TYPE_CHECKING:
    from auth_worker.observability.logs import LoggingSetup


class MainModule(NamedTuple):
    """Where the main module can be imported from: by ``name``, or else from the file ``path``."""

    name: str | None
    path: str


class Setup(NamedTuple):
    """The first thing that a worker process reads. ``consumer`` is a pickle, which names its module."""

    arguments: list[str]
    main: MainModule | None
    logging: LoggingSetup | None
    consumer: bytes
    name: str
    max_result_bytes: int


def check_importable(consumer: Callable[..., Any]) -> None:
    """Raise ``ConfigurationError`` for a consumer that another process cannot find, and for any on Windows."""
    if not hasattr(os, "killpg"):
        raise ConfigurationError(
            "execution='process' is for Linux and macOS: this system (Windows) cannot end a process "
            "together with the programs it has started; use execution='thread'"
        )
    name = getattr(consumer, "__qualname__", "<locals>")
    if {"<locals>", "<lambda>"} & set(name.split(".")):
        raise ConfigurationError(
            "execution='process' needs a function defined at the top of a module, so that another process "
            "can import it"
        )
    if getattr(consumer, "__module__", None) == "__main__" and _main_module() is None:
        raise ConfigurationError(
            f"execution='process' needs a function in a file that another process can import: {name} was "
            "defined in a notebook, at a prompt, or by python -c; move it into a module"
        )


def setup_for(consumer: Callable[..., Any], max_result_bytes: int) -> bytes:
    """Return the frame that sets a worker process up. Longer results than ``max_result_bytes`` are not sent.

    Raises ``ConfigurationError`` if the consumer has no name.
    """
    from auth_worker.observability.logs import current_setup, share_streams

    name = getattr(consumer, "__qualname__", "the consumer")
    try:
        pickled = pickle.dumps(consumer)
    except Exception as error:
        raise ConfigurationError(
            f"execution='process': {name} of {consumer.__module__} cannot be found under its name "
            f"({error_text(error)}): it may have been replaced by a decorator; register what the name refers to"
        ) from error
    logging = current_setup()
    if logging is not None:
        share_streams()
    main = _main_module()
    in_main = b"__main__" in pickled
    if main is not None and not in_main and main.name is not None and main.name.endswith("__main__"):
        main = None  # the main part of a package is no set-up of its consumers; multiprocessing leaves it out too
    return framed(Setup(sys.argv[:], main, logging, pickled, name, max_result_bytes))


def program(connection: int, lifeline: int) -> str:
    """Return what ``python -c`` of a worker process runs; the arguments are descriptors."""
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return (
        f"import sys; sys.path[:] = {path!r}; "
        f"from auth_worker.engine.executors.process_main import main; main({connection}, {lifeline})"
    )


def _main_module() -> MainModule | None:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    path = os.path.abspath(getattr(main, "__file__", None) or "")
    if spec is not None and spec.name != "__main__":
        return MainModule(spec.name, path)
    return MainModule(None, path) if os.path.isfile(path) else None

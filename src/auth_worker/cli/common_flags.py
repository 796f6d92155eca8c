"""Flags and arguments that several commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from auth_worker.cli.completion import complete_queue

Queue = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE",
        help="The queue, such as emailQueue.",
        show_default=False,
        autocompletion=complete_queue,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs, one object a line.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show data and texts unmasked: they may hold secrets.")]
Wide = Annotated[bool, typer.Option("--wide", help="Show every column and every text in full, however wide.")]

"""Runs the demo and shows it on the screen."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from auth_worker.cli.console import text
from auth_worker.cli.demo import tables
from auth_worker.cli.demo.checks import make_checks
from auth_worker.cli.demo.environment import CONCURRENCY, DemoEnvironment, demo_environment
from auth_worker.cli.demo.jobs import FLAKY, GOOD, Plan, job_data, make_plan
from auth_worker.cli.demo.mail_server import Delivery, DemoMailServer
from auth_worker.cli.exit_codes import CLEAN, FAILED
from auth_worker.cli.program_path import program
from auth_worker.config import EMAIL_JOB_TYPES, QUEUE_NAMES
from auth_worker.version import __version__

NEXT = """[bold]Next:[/]
  [cyan]{0} run[/]
      the e-mail worker, on your Redis or an embedded one
  [cyan]{0} add --help[/]
      put jobs on a queue
  [cyan]{0} demo --serve[/]
      the same, but it keeps running for you to try
"""


async def run_demo(console: Console, *, serve: bool = False) -> int:
    """Run the demo on ``console``, and return the exit code: 0, or 1 if the numbers do not add up.

    The folder with the broker's data and the log is removed at the end, unless something went wrong.
    """
    folder = Path(tempfile.mkdtemp(prefix="auth-worker-demo-"))
    code = None
    try:
        with (folder / "demo.log").open("w", encoding="utf-8") as log:
            code = await _run_in(folder, console, log, serve=serve)
    except (asyncio.CancelledError, SystemExit, OSError):  # rich exits if nobody reads the output
        code = CLEAN
        raise
    finally:
        if code == CLEAN:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            console.print(f"The log and the broker's data are kept in {text(str(folder))}")
    return code


async def _run_in(folder: Path, console: Console, log: TextIO, *, serve: bool) -> int:
    console.print(f"\n[bold]auth-worker {__version__}[/]: a BullMQ worker service from end to end\n")
    started = time.monotonic()
    async with DemoMailServer() as mail, demo_environment(folder, mail, log, serve=serve) as demo:
        plan = make_plan()
        _show_part(
            console,
            "broker",
            f"{await demo.broker_version()}, embedded, append-only file, private unix socket",
        )
        _show_part(console, "mail server", f"aiosmtpd on 127.0.0.1:{mail.port}, greylists some and refuses others")
        _show_part(
            console, "worker", f"{QUEUE_NAMES.EMAIL}, {CONCURRENCY} jobs at a time, with a dead-letter queue"
        )
        adding = time.monotonic()
        ids = await demo.add(plan)
        added_ms = 1000 * (time.monotonic() - adding)
        hopeless = len(plan.jobs) - GOOD - FLAKY
        amounts = f"{GOOD} good, {FLAKY} greylisted, {hopeless} that must fail"
        _show_part(console, "jobs", f"{len(ids)} added in {added_ms:.0f} ms: {amounts}")
        console.print()
        took = await _watch(demo, plan, console)
        outcome = await demo.outcome(took)
        checked = make_checks(plan, ids, outcome, mail)
        for part in tables.result_tables(outcome, mail.deliveries, checked):
            console.print(part)
        console.print(tables.verdict(checked))
        if serve:
            await _serve(folder, console, mail, demo.service.http_port)
    console.print(f"[dim]Done after {time.monotonic() - started:.1f} s; everything is shut down.[/]\n")
    if all(check.holds for check in checked):
        console.print(NEXT.format(text(program())))
        return CLEAN
    return FAILED


async def _watch(demo: DemoEnvironment, plan: Plan, console: Console) -> float:
    """Let the jobs run, with a progress bar. Returns how long (s) they took."""
    with Progress(
        TextColumn("[bold]working[/]"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
    ) as progress:
        bar = progress.add_task("", total=len(plan.jobs))

        def show(counts: dict[str, int]) -> None:
            sent, delayed, dead = counts["completed"], counts["delayed"], counts["failed"]
            progress.update(
                bar,
                completed=sent + dead,
                description=f"[green]{sent} sent[/] · [yellow]{delayed} to retry[/] · [red]{dead} dead[/]",
            )

        took = await demo.work(len(plan.jobs), show)
    console.print()
    return took


async def _serve(folder: Path, console: Console, mail: DemoMailServer, port: int | None) -> None:
    """Show where the dashboard is, and each e-mail that arrives, until cancelled."""
    data = json.dumps(job_data(EMAIL_JOB_TYPES.SEND_MAGIC_LINK_EMAIL, "you@example.com"))
    console.print(f"\n[bold]Dashboard:[/] [cyan]http://127.0.0.1:{port}/[/]", soft_wrap=True)
    console.print(
        "\n[bold]Serving until Ctrl-C.[/] Add a job from another terminal, and its e-mail appears here:\n"
    )
    console.print(
        f"{program()} add {QUEUE_NAMES.EMAIL} {EMAIL_JOB_TYPES.SEND_MAGIC_LINK_EMAIL} "
        f"--state-dir {folder} --data '{data}'\n",
        style="cyan",
        markup=False,
        soft_wrap=True,
    )

    def arrived(delivery: Delivery) -> None:
        console.print(f"{time.strftime('%H:%M:%S')}  {text(delivery.recipient)}  {text(delivery.subject)}")

    mail.on_delivery = arrived
    await asyncio.Event().wait()


def _show_part(console: Console, what: str, detail: str) -> None:
    console.print(f"{tables.GOOD} {what:12}[dim]{text(detail)}[/]")

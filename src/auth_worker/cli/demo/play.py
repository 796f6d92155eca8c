"""The demo on the screen, from the first line to the last."""

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

from auth_worker.cli.console import CLEAN, FAILED, text
from auth_worker.cli.demo import report
from auth_worker.cli.demo.checks import checks
from auth_worker.cli.demo.jobs import FLAKY, GOOD, Plan, job_data, make_plan
from auth_worker.cli.demo.mail_server import Delivery, DemoMailServer
from auth_worker.cli.demo.story import CONCURRENCY, Stage, stage
from auth_worker.config import EMAIL_JOB_TYPES, QUEUE_NAMES
from auth_worker.version import __version__

NEXT = """[bold]Next:[/]
  [cyan]auth-worker run[/]           the e-mail worker, on your Redis or an embedded one
  [cyan]auth-worker add --help[/]    put jobs on a queue
  [cyan]auth-worker demo --serve[/]  this again, but it stays up for you to play with
"""


async def play(console: Console, *, serve: bool = False) -> int:
    """Play the demo on ``console``; returns the exit code: 0, or 1 if something does not add up.

    The folder with the broker's data and the log is removed at the end, but kept if something went wrong.
    """
    folder = Path(tempfile.mkdtemp(prefix="auth-worker-demo-"))
    code = None
    try:
        with (folder / "demo.log").open("w", encoding="utf-8") as log:
            code = await _play_in(folder, console, log, serve=serve)
    except (asyncio.CancelledError, SystemExit, OSError):  # rich exits where nobody reads; nothing is to be kept
        code = CLEAN
        raise
    finally:
        if code == CLEAN:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            console.print(f"The log and the broker's data are kept in {text(str(folder))}")
    return code


async def _play_in(folder: Path, console: Console, log: TextIO, *, serve: bool) -> int:
    console.print(f"\n[bold]auth-worker {__version__}[/]: a BullMQ worker service from end to end\n")
    begun = time.monotonic()
    async with DemoMailServer() as mail, stage(folder, mail, log) as running:
        plan = make_plan()
        _tell(
            console,
            "broker",
            f"Valkey {await running.broker_version()}, embedded, append-only file, private unix socket",
        )
        _tell(console, "mail server", f"aiosmtpd on 127.0.0.1:{mail.port}, greylists some and refuses others")
        _tell(console, "worker", f"{QUEUE_NAMES.EMAIL}, {CONCURRENCY} jobs at a time, with a dead-letter queue")
        started = time.monotonic()
        ids = await running.add(plan)
        added_ms = 1000 * (time.monotonic() - started)
        beyond_help = len(plan.jobs) - GOOD - FLAKY
        amounts = f"{GOOD} good, {FLAKY} greylisted, {beyond_help} beyond help"
        _tell(console, "jobs", f"{len(ids)} added in {added_ms:.0f} ms: {amounts}")
        console.print()
        took = await _watch(running, plan, console)
        ending = await running.ending(took)
        checked = checks(plan, ids, ending, mail)
        for part in report.tables(ending, mail.deliveries, checked):
            console.print(part)
        console.print(report.verdict(checked))
        if serve:
            await _serve(folder, console, mail)
    console.print(f"[dim]Done after {time.monotonic() - begun:.1f} s, all parts are shut down.[/]\n")
    if all(check.holds for check in checked):
        console.print(NEXT)
        return CLEAN
    return FAILED


async def _watch(running: Stage, plan: Plan, console: Console) -> float:
    """Let the jobs run behind a progress bar; returns the s taken."""
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
            done, late, dead = counts["completed"], counts["delayed"], counts["failed"]
            progress.update(
                bar,
                completed=done + dead,
                description=f"[green]{done} sent[/] · [yellow]{late} to retry[/] · [red]{dead} dead[/]",
            )

        took = await running.work(len(plan.jobs), show)
    console.print()
    return took


async def _serve(folder: Path, console: Console, mail: DemoMailServer) -> None:
    """Show each mail that arrives, until cancelled."""
    data = json.dumps(job_data(EMAIL_JOB_TYPES.SEND_MAGIC_LINK_EMAIL, "you@example.com"))
    console.print("\n[bold]Serving until Ctrl-C.[/] Add a job from another terminal, and see its mail arrive:\n")
    console.print(
        f"auth-worker add {QUEUE_NAMES.EMAIL} {EMAIL_JOB_TYPES.SEND_MAGIC_LINK_EMAIL} "
        f"--state-dir {folder} --data '{data}'\n",
        style="cyan",
        markup=False,
        soft_wrap=True,
    )

    def arrived(delivery: Delivery) -> None:
        console.print(f"{time.strftime('%H:%M:%S')}  {text(delivery.recipient)}  {text(delivery.subject)}")

    mail.on_delivery = arrived
    await asyncio.Event().wait()


def _tell(console: Console, what: str, detail: str) -> None:
    console.print(f"{report.GOOD} {what:12}[dim]{text(detail)}[/]")

"""``auth-worker run``: runs the user's service, or the built-in e-mail worker."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from auth_worker.cli.async_runner import run_contained
from auth_worker.cli.console import fail, notes, print_error, text
from auth_worker.cli.exit_codes import USAGE
from auth_worker.cli.otel_and_sentry import set_up_otel_and_sentry
from auth_worker.cli.parsers import whole_numbers
from auth_worker.cli.run_processes import ProcessFlags, run_processes
from auth_worker.cli.service_loading import load_target, service_from
from auth_worker.cli.settings_flags import ServiceSettings, export_settings, settings_from
from auth_worker.config import QUEUE_NAMES, Settings
from auth_worker.core.error_text import error_text
from auth_worker.errors import BrokerUnavailableError
from auth_worker.messages import WORKER_ERRORS
from auth_worker.observability.logs import configure_logging, logger_of
from auth_worker.process.startup import broker_remedy
from auth_worker.service import WorkerService
from auth_worker.supervisor.child import join_parent
from auth_worker.version import __version__


def run(
    app: Annotated[
        str | None, typer.Argument(metavar="APP", help="package.module:service", show_default=False)
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="How many e-mail jobs run at a time (5); only without APP.",
            **whole_numbers(1, 10_000),
        ),
    ] = None,
    *,
    overrides: ServiceSettings,
    processes: ProcessFlags,
) -> None:
    """Process the queues of APP, or the e-mail queue, until SIGTERM or Ctrl-C.

    APP is a WorkerService, or a function (async or not) that returns one; the current folder is on the import
    path. APP gets the flags as environment variables; what it sets itself takes precedence. Every flag is a
    setting too: AUTH_WORKER_SMTP_HOST, or smtp_host in auth-worker.toml.

    Exit codes: 0 clean, 1 failed to start, 2 usage, 3 stopped with work handed back, 4 broker unreachable.

    Example: [bold]auth-worker run --redis redis://localhost:6379 --smtp-host mail.example.org[/]

    Example: [bold]auth-worker run myapp.worker:service[/]
    """
    settings = settings_from(vars(overrides))
    configure_logging(settings)
    if app is not None and concurrency is not None:
        fail("--concurrency goes without APP, which sets it in register_processor(worker_config=...)", USAGE)
    if processes.child is not None:
        join_parent(processes.child)
    elif app is None:
        _introduce(settings)
    several = processes.processes > 1 or processes.reload
    if several or app is not None:
        export_settings(vars(overrides))
    if several:
        code = run_processes(settings, processes, app, concurrency)
    elif app is not None:
        code = _run_contained(_work_for(load_target(app), app), settings)
    else:
        code = _run_contained(_work_on_emails(settings, concurrency), settings)
    raise typer.Exit(code)


def _run_contained(work: Coroutine[Any, Any, int], settings: Settings) -> int:
    log = logger_of(None, settings)

    def log_exit(error: BaseException) -> None:
        log.error(WORKER_ERRORS.EXIT_CONTAINED, error=error_text(error), error_type=type(error).__name__)

    return run_contained(work, log_exit)


async def _work_for(target: Any, spec: str) -> int:
    return await _work(await service_from(target, spec))


async def _work_on_emails(settings: Settings, concurrency: int | None) -> int:
    from auth_worker.consumers.email import create_email_job_consumer  # with APP, e-mail need not be installed
    from auth_worker.email import email_service_from

    mailer = email_service_from(settings)
    service = WorkerService(settings=settings, init_services=mailer.check)
    service.register_processor(
        queue_name=QUEUE_NAMES.EMAIL,
        processor=create_email_job_consumer(mailer, settings=settings),
        worker_config={} if concurrency is None else {"concurrency": concurrency},
        dead_letter_queue_name=QUEUE_NAMES.EMAIL_DEAD_LETTER,
    )
    try:
        return await _work(service)
    finally:
        await mailer.close()


async def _work(service: WorkerService) -> int:
    """Run the service, and return the exit code. Prints why it could not start."""
    set_up_otel_and_sentry(service.settings)
    code = await service.run()
    if service.start_error is not None:
        remedy = f". {broker_remedy('--redis')}" if isinstance(service.start_error, BrokerUnavailableError) else ""
        print_error((str(service.start_error) or type(service.start_error).__name__) + remedy)
    return code


def _introduce(settings: Settings) -> None:
    """Print at a terminal where jobs come from and where e-mails go."""
    console = notes()
    if not console.is_terminal:
        return
    broker = f"the embedded broker in {settings.state_dir.absolute()}" if settings.redis_url is None else "Redis"
    mails = f"the mail server {settings.smtp_host}" if settings.smtp_host else f"the folder {_outbox(settings)}"
    console.print(f"[bold]auth-worker {__version__}[/]  jobs from {text(broker)}, e-mails to {text(mails)}")


def _outbox(settings: Settings) -> Path:
    return (settings.outbox_dir or settings.state_dir / "outbox").absolute()

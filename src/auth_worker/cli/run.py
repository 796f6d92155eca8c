"""``auth-worker run``: the service as a process of its own."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from auth_worker.cli import flags
from auth_worker.cli.application import load, service_of
from auth_worker.cli.console import USAGE, err, fail, say_error, text
from auth_worker.cli.loop import run_contained
from auth_worker.cli.processes import run_processes
from auth_worker.cli.reporting import start_reporting
from auth_worker.config import QUEUE_NAMES, Settings
from auth_worker.consumers.email import create_email_job_consumer
from auth_worker.email import email_service_from
from auth_worker.errors import BrokerUnavailableError
from auth_worker.logs import configure_logging, logger_of
from auth_worker.messages import WORKER_ERRORS
from auth_worker.redaction import redact
from auth_worker.service import WorkerService
from auth_worker.supervisor.child import join_parent
from auth_worker.version import __version__

BROKER_REMEDY = (
    "Is Redis running there, and does it let this host in? --redis or AUTH_WORKER_REDIS_URL names another one; "
    "auth-worker doctor looks closer"
)


def run(
    context: typer.Context,
    app: Annotated[
        str | None, typer.Argument(metavar="APP", help="package.module:service", show_default=False)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=10_000, help="Jobs at a time (5); without APP.")
    ] = None,
    redis_url: flags.Redis = None,
    prefix: flags.Prefix = None,
    state_dir: flags.StateDir = None,
    startup_timeout: flags.StartupTimeout = None,
    smtp_host: flags.SmtpHost = None,
    smtp_port: flags.SmtpPort = None,
    smtp_username: flags.SmtpUsername = None,
    smtp_security: flags.SmtpSecurity = None,
    smtp_ca_file: flags.SmtpCaFile = None,
    email_from: flags.EmailFrom = None,
    email_product_name: flags.EmailProductName = None,
    outbox_dir: flags.OutboxDir = None,
    http_host: flags.HttpHost = None,
    http_port: flags.HttpPort = None,
    name: flags.WorkerName = None,
    shutdown_timeout: flags.ShutdownTimeout = None,
    log_level: flags.LogLevel = None,
    log_format: flags.LogFormat = None,
    config: flags.Config = None,
    processes: flags.Processes = 1,
    reload: flags.Reload = False,
    child: flags.Child = None,
) -> None:
    """Work on queues until SIGTERM or Ctrl-C: those of APP, or the e-mail queue.

    APP is a WorkerService, or a function (async or not) that returns one; the current folder is on its path. It
    gets the flags as environment variables; what it sets itself wins. Every flag is a setting too:
    AUTH_WORKER_SMTP_HOST, or smtp_host in auth-worker.toml.

    Exit codes: 0 clean, 1 failed to start, 2 usage, 3 stopped with work handed back, 4 broker unreachable.

    Example: [bold]auth-worker run --redis redis://localhost:6379 --smtp-host mail.example.org[/]

    Example: [bold]auth-worker run myapp.worker:service[/]
    """
    raise typer.Exit(_run(app, concurrency, context.params))


def _run(app: str | None, concurrency: int | None, parameters: dict[str, Any]) -> int:
    settings = flags.settings_of(parameters)
    configure_logging(settings)
    if app is not None and concurrency is not None:
        fail("--concurrency goes without APP, which sets it in register_processor(worker_config=...)", USAGE)
    if parameters["child"] is not None:
        join_parent(parameters["child"])
    elif app is None:
        _introduce(settings)
    if parameters["processes"] > 1 or parameters["reload"]:
        return run_processes(settings, parameters)
    if app is None:
        return _run_contained(_work_on_emails(settings, concurrency), settings)
    flags.export(parameters)
    return _run_contained(_work_for(load(app), app), settings)


def _run_contained(work: Coroutine[Any, Any, int], settings: Settings) -> int:
    log = logger_of(None, settings)

    def tell(error: BaseException) -> None:
        log.error(WORKER_ERRORS.EXIT_CONTAINED, error=redact(str(error)), error_type=type(error).__name__)

    return run_contained(work, tell)


async def _work_for(target: Any, spec: str) -> int:
    return await _work(await service_of(target, spec))


async def _work_on_emails(settings: Settings, concurrency: int | None) -> int:
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
    """Run the service; returns the exit code, having said on stderr what it could not start for."""
    start_reporting(service.settings)
    code = await service.run()
    if service.start_error is not None:
        remedy = f". {BROKER_REMEDY}" if isinstance(service.start_error, BrokerUnavailableError) else ""
        say_error((str(service.start_error) or type(service.start_error).__name__) + remedy)
    return code


def _introduce(settings: Settings) -> None:
    """Tell a person at a terminal where jobs come from and where e-mails go."""
    console = err()
    if not console.is_terminal:
        return
    broker = f"the embedded broker in {settings.state_dir.absolute()}" if settings.redis_url is None else "Redis"
    mails = f"the mail server {settings.smtp_host}" if settings.smtp_host else f"the folder {_outbox(settings)}"
    console.print(f"[bold]auth-worker {__version__}[/]  jobs from {text(broker)}, e-mails to {text(mails)}")


def _outbox(settings: Settings) -> Path:
    return (settings.outbox_dir or settings.state_dir / "outbox").absolute()

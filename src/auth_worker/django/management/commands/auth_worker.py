"""``manage.py auth_worker``: runs Django's tasks."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from auth_worker.config import Settings
from auth_worker.django.worker import make_service
from auth_worker.errors import ConfigurationError
from auth_worker.observability.logs import configure_logging


class Command(BaseCommand):
    """Works the queues of a backend until SIGTERM or Ctrl-C; exits as ``auth-worker run`` does."""

    help = "Runs Django's tasks until SIGTERM or Ctrl-C. Settings come from AUTH_WORKER_... and auth-worker.toml."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Part of Django."""
        parser.add_argument("--backend", default="default", help="The alias of the backend in TASKS (default).")
        parser.add_argument("--queue", action="append", default=[], help="Only this queue; may be repeated.")

    def handle(self, *, backend: str, queue: list[str], **_: Any) -> None:
        """Part of Django."""
        try:
            settings = Settings()
            configure_logging(settings)
            service = make_service(backend, queues=queue, settings=settings)
        except ConfigurationError as error:
            raise CommandError(str(error)) from error
        sys.exit(asyncio.run(service.run()))

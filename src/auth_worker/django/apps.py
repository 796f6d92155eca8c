"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class AuthWorkerConfig(AppConfig):
    """Imports the module ``tasks`` of each application, so that every process knows the tasks."""

    name = "auth_worker.django"
    label = "auth_worker"
    verbose_name = "auth-worker"

    def ready(self) -> None:
        """Part of Django."""
        autodiscover_modules("tasks")

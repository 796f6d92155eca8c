"""Django's tasks framework: its own from Django 6.0 on, before that the package ``django-tasks``, the backport."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import django

from auth_worker.core.extras import needs_extra

IS_BUILT_IN = django.VERSION >= (6, 0)
_NAME = "django.tasks" if IS_BUILT_IN else "django_tasks"
with needs_extra("django", "the backend for Django's tasks"):
    _base: Any = import_module(f"{_NAME}.base")
    _exceptions: Any = import_module(f"{_NAME}.exceptions")
    signals: Any = import_module(f"{_NAME}.signals")
    _json: Any = import_module("django.utils.json" if IS_BUILT_IN else "django_tasks.utils")
    _tasks: Any = import_module(_NAME)
    BaseTaskBackend: Any = import_module(f"{_NAME}.backends.base").BaseTaskBackend

Task, TaskContext, TaskError = _base.Task, _base.TaskContext, _base.TaskError
TaskResult, TaskResultStatus = _base.TaskResult, _base.TaskResultStatus
TaskResultDoesNotExist: Any = _exceptions.TaskResultDoesNotExist
InvalidTaskBackend: Any = getattr(_exceptions, "InvalidTaskBackend" if IS_BUILT_IN else "InvalidTaskBackendError")
normalize_json: Any = _json.normalize_json
task_backends: Any = _tasks.task_backends

"""The Django project of ``examples/``, in this process and in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.command_line import environment

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "examples.django_project.settings"


def set_up() -> None:
    """Set Django up in this process, once."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    os.environ.setdefault("DATABASE", ":memory:")
    django.setup()


def start_worker(redis_url: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start ``manage.py auth_worker``, with its log in ``folder``."""
    variables = {"REDIS_URL": redis_url, "DATABASE": str(folder / "db.sqlite3"), "PYTHONPATH": str(ROOT)}
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "examples.django_project", "auth_worker", *arguments],
            cwd=folder,
            env=environment(http_port="none") | variables,
            stdout=log,
            stderr=log,
        )

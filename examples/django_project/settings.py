"""The settings: `TASKS` and the two applications are all that auth-worker needs."""

import os

import django

SECRET_KEY = os.environ.get("SECRET_KEY", "for development only")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "examples.django_project.urls"
USE_TZ = True
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", "db.sqlite3")},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "examples.django_project.mails",
    "auth_worker.django",
    *([] if django.VERSION >= (6, 0) else ["django_tasks"]),
]
TASKS = {
    "default": {
        "BACKEND": "auth_worker.django.backend.AuthWorkerBackend",
        "QUEUES": ["default", "mails"],
        "OPTIONS": {
            "redis_url": os.environ.get("REDIS_URL", "redis://localhost:6379"),
            "attempts": 3,
            "job_options": {"backoff": 100},
            "dead_letter_queue_name": "djangoDead",
            "enqueue_on_commit": True,
        },
    }
}

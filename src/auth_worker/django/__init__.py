"""Django's tasks on BullMQ queues: a backend for the setting ``TASKS``, and ``manage.py auth_worker``, its worker.

::

    INSTALLED_APPS = [..., "auth_worker.django"]
    TASKS = {
        "default": {
            "BACKEND": "auth_worker.django.backend.AuthWorkerBackend",
            "QUEUES": ["default", "mails"],
            "OPTIONS": {"redis_url": "redis://localhost:6379", "attempts": 3, "enqueue_on_commit": True},
        }
    }
"""

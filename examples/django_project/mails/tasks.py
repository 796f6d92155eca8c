"""The tasks. From Django 6.0 on, `task` comes from `django.tasks`."""

from typing import Any

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task


@task(queue_name="mails")
def welcome(to: str) -> str:
    """Stands where your application would send a mail."""
    return f"welcome, {to}"


@task(takes_context=True)
async def count_attempts(context: Any, failing_until: int) -> int:
    """Fails until the attempt that it is told."""
    attempt: int = context.attempt
    if attempt < failing_until:
        raise RuntimeError("not yet")
    return attempt

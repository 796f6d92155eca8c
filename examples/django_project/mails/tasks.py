"""The tasks. From Django 6.0 on, `task` comes from `django.tasks`."""

from typing import Any

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task


@task(queue_name="mails")
def welcome(to: str) -> str:
    """Stand in for the code that sends a mail."""
    return f"welcome, {to}"


@task(takes_context=True)
async def count_attempts(context: Any, failing_until: int) -> int:
    """Fail until the attempt ``failing_until``, and return its number."""
    attempt: int = context.attempt
    if attempt < failing_until:
        raise RuntimeError("not yet")
    return attempt

"""Typed tasks: functions whose calls are jobs of a queue, for a worker, a web application, or both.

::

    mail = TaskQueue("mailQueue", dead_letter_queue_name="mailDead")

    @mail.task(attempts=5, timeout=30)
    async def welcome(to: EmailStr, user: User) -> Receipt: ...

    service.include(mail)                                       # in the worker
    await welcome.enqueue(to="ada@example.org", user=user)      # anywhere; enqueue_sync without an event loop
    await welcome(to="ada@example.org", user=user)              # the plain function, as in tests

A job's name is the task's, its data a JSON object by parameter name, so that producers in Node add
``queue.add("welcome", {to, user})``.
"""

from auth_worker.tasks.handle import JobHandle
from auth_worker.tasks.options import TaskOptions
from auth_worker.tasks.queue import TaskQueue
from auth_worker.tasks.scheduler import Repeat, TaskScheduler
from auth_worker.tasks.signature import INJECTED
from auth_worker.tasks.task import Enqueuer, Task

__all__ = [
    "INJECTED",
    "Enqueuer",
    "JobHandle",
    "Repeat",
    "Task",
    "TaskOptions",
    "TaskQueue",
    "TaskScheduler",
]

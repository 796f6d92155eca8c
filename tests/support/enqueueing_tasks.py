"""Tasks that enqueue others of their queue and await them, in a module that worker processes can import."""

from __future__ import annotations

from auth_worker import flow
from auth_worker.tasks import TaskQueue


def add_one(number: int) -> int:
    return number + 1


def new_queue() -> TaskQueue:
    """A queue that was made for no broker, with tasks that run in the service's process."""
    queue = TaskQueue("enqueueing", worker_config={"concurrency": 4, "attempts": 1})
    task = queue.task(add_one)

    @queue.task
    async def on_the_loop(number: int) -> int:
        return await (await task.enqueue(number)).result(10)

    @queue.task
    def in_a_thread(number: int) -> int:
        return task.enqueue_sync(number).result_sync(10)

    @queue.task
    async def in_a_flow(number: int) -> int:
        added = await flow.add(task.flow(number))
        return await task.handle(added.job).result(10)

    return queue


queue = new_queue()


@queue.task(execution="process")
def in_a_process(number: int) -> int:
    return int(queue.tasks["add_one"].enqueue_sync(number).result_sync(10))

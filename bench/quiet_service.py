"""A service whose only queue stays empty: what its HTTP port costs is all that it does."""

from auth_worker import Job, WorkerService

service = WorkerService()


async def _do_nothing(job: Job) -> None:
    """Do nothing."""


service.register_processor(queue_name="quietQueue", processor=_do_nothing)

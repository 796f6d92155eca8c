"""The producer: ``JobQueue`` adds jobs to a BullMQ queue, for workers in Python or Node."""

from auth_worker.core.job_info import JobInfo
from auth_worker.core.job_options import MAX_PRIORITY, JobOptions, job_options
from auth_worker.core.job_options_dict import BulkJob, JobOptionsDict
from auth_worker.core.partitions import partition_names
from auth_worker.core.ports.producer import AddedJob
from auth_worker.queue.commands import JobScheduler
from auth_worker.queue.job_queue import ADD_TIMEOUT, SYNC_TIMEOUT, JobQueue
from auth_worker.queue.sync_queue import SyncJobQueue

__all__ = [
    "ADD_TIMEOUT",
    "MAX_PRIORITY",
    "SYNC_TIMEOUT",
    "AddedJob",
    "BulkJob",
    "JobInfo",
    "JobOptions",
    "JobOptionsDict",
    "JobQueue",
    "JobScheduler",
    "SyncJobQueue",
    "job_options",
    "partition_names",
]

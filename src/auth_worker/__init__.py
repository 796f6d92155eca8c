"""auth-worker: the production worker service for BullMQ queues in Python."""

from auth_worker.config import (
    EMAIL_JOB_TYPES,
    QUEUE_NAMES,
    SMS_JOB_TYPES,
    WORKER_CONFIG,
    Settings,
    WorkerConfig,
)
from auth_worker.errors import (
    AuthWorkerError,
    BrokerError,
    BrokerUnavailableError,
    ConfigurationError,
    Delay,
    EmailDispatchError,
    InvalidJobDataError,
    JobTimeoutError,
    LeaseLostError,
    RateLimited,
    UnknownJobTypeError,
    UnrecoverableError,
    WaitForChildren,
    WorkerCrashedError,
)
from auth_worker.events import JobFailed, JobRetried
from auth_worker.job import Job
from auth_worker.messages import WORKER_ERRORS, WORKER_MESSAGES
from auth_worker.processor import QueueProcessorService
from auth_worker.queue import JobQueue
from auth_worker.report import Metrics, ProcessorHealth, QueueMetrics, ServiceHealth
from auth_worker.service import WorkerService
from auth_worker.version import __version__

__all__ = [
    "EMAIL_JOB_TYPES",
    "QUEUE_NAMES",
    "SMS_JOB_TYPES",
    "WORKER_CONFIG",
    "WORKER_ERRORS",
    "WORKER_MESSAGES",
    "AuthWorkerError",
    "BrokerError",
    "BrokerUnavailableError",
    "ConfigurationError",
    "Delay",
    "EmailDispatchError",
    "InvalidJobDataError",
    "Job",
    "JobFailed",
    "JobQueue",
    "JobRetried",
    "JobTimeoutError",
    "LeaseLostError",
    "Metrics",
    "ProcessorHealth",
    "QueueMetrics",
    "QueueProcessorService",
    "RateLimited",
    "ServiceHealth",
    "Settings",
    "UnknownJobTypeError",
    "UnrecoverableError",
    "WaitForChildren",
    "WorkerConfig",
    "WorkerCrashedError",
    "WorkerService",
    "__version__",
]

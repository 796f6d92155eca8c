"""auth-worker: the production worker service for BullMQ queues in Python.

A name is imported from its module when it is first used, so that a program which only enqueues does not load the
worker.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from auth_worker.version import __version__

if TYPE_CHECKING:
    from auth_worker.config import (
        EMAIL_JOB_TYPES,
        QUEUE_NAMES,
        SMS_JOB_TYPES,
        WORKER_CONFIG,
        Settings,
        WorkerConfig,
    )
    from auth_worker.core.report import Metrics, ProcessorHealth, QueueMetrics, ServiceHealth
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
    from auth_worker.service import WorkerService

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

_MODULES = {
    "config": (
        "EMAIL_JOB_TYPES",
        "QUEUE_NAMES",
        "SMS_JOB_TYPES",
        "WORKER_CONFIG",
        "Settings",
        "WorkerConfig",
    ),
    "core.report": (
        "Metrics",
        "ProcessorHealth",
        "QueueMetrics",
        "ServiceHealth",
    ),
    "errors": (
        "AuthWorkerError",
        "BrokerError",
        "BrokerUnavailableError",
        "ConfigurationError",
        "Delay",
        "EmailDispatchError",
        "InvalidJobDataError",
        "JobTimeoutError",
        "LeaseLostError",
        "RateLimited",
        "UnknownJobTypeError",
        "UnrecoverableError",
        "WaitForChildren",
        "WorkerCrashedError",
    ),
    "events": (
        "JobFailed",
        "JobRetried",
    ),
    "job": ("Job",),
    "messages": (
        "WORKER_ERRORS",
        "WORKER_MESSAGES",
    ),
    "processor": ("QueueProcessorService",),
    "queue": ("JobQueue",),
    "service": ("WorkerService",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> Any:
        """Import a public name, or a module of this package."""
        if name in _MODULE_OF:
            value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
            return value
        if not name.startswith("_"):
            try:
                return import_module(f"{__name__}.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"{__name__}.{name}":
                    raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""How the service logs, and what an application can take of it for its own logging."""

from auth_worker.logs.opening import Log, logger_of, open_log
from auth_worker.logs.processors import JobContextFilter, add_job_context, job_context, redact_fields
from auth_worker.logs.sink import LineSink
from auth_worker.logs.standard import configure_logging, set_queue_level

__all__ = [
    "JobContextFilter",
    "LineSink",
    "Log",
    "add_job_context",
    "configure_logging",
    "job_context",
    "logger_of",
    "open_log",
    "redact_fields",
    "set_queue_level",
]

"""How the service logs, and what an application can take of it for its own logging."""

from auth_worker.logs.opening import Log, logger_of, open_log
from auth_worker.logs.processors import JobContextFilter, add_job_context, job_context, redact_fields
from auth_worker.logs.sink import LineSink, drain_streams, share_streams
from auth_worker.logs.standard import (
    LoggingSetup,
    configure_logging,
    current_setup,
    repeat_setup,
    set_queue_level,
)

__all__ = [
    "JobContextFilter",
    "LineSink",
    "Log",
    "LoggingSetup",
    "add_job_context",
    "configure_logging",
    "current_setup",
    "drain_streams",
    "job_context",
    "logger_of",
    "open_log",
    "redact_fields",
    "repeat_setup",
    "set_queue_level",
    "share_streams",
]

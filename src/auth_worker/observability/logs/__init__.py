"""The service's logging, and the parts of it that an application can use for its own."""

from auth_worker.observability.logs.logger import Log, logger_of, open_log
from auth_worker.observability.logs.processors import JobContextFilter, add_job_context, job_context, redact_fields
from auth_worker.observability.logs.sink import LineSink, drain_streams, share_streams
from auth_worker.observability.logs.stdlib import (
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

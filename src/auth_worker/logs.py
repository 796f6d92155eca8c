"""The parts of the service's logging that an application can use for its own.

``configure_logging`` sets up logging as the service does; ``add_job_context`` and ``redact_fields`` are structlog
processors, ``JobContextFilter`` is a filter for handlers of the standard library.
"""

from auth_worker.observability.logs import (
    JobContextFilter,
    add_job_context,
    configure_logging,
    redact_fields,
    set_queue_level,
)

__all__ = ["JobContextFilter", "add_job_context", "configure_logging", "redact_fields", "set_queue_level"]

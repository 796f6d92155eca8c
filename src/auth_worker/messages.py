"""The log messages: fixed English texts, so that a search or an alert for one keeps working.

A message is the ``event`` of a log line and nothing else. What varies is in the line's other fields.
"""

from __future__ import annotations

from enum import StrEnum


class WorkerMessage(StrEnum):
    """Messages of normal operation."""

    WORKER_STARTING = "Worker service starting"
    WORKER_READY = "Worker ready"
    WORKER_STOPPING = "Worker service stopping"
    WORKER_STOPPED = "Worker service stopped"
    SHUTDOWN_SIGNAL = "Shutdown signal received"
    SECOND_SIGNAL = "Second shutdown signal received, stopping now"
    THIRD_SIGNAL = "Third shutdown signal received, killing the processes"
    PROCESS_STARTED = "Worker process started"
    RELOADING = "Files have changed, restarting the worker processes"
    HTTP_PORT_OPEN = "HTTP port open"
    PROCESSOR_REGISTERED = "Processor registered"
    PROCESSOR_READY = "Processor ready"
    PROCESSOR_PAUSED = "Processor paused"
    PROCESSOR_RESUMED = "Processor resumed"
    PROCESSOR_CLOSED = "Processor closed"
    START_STOPPED = "Worker service stopped before it was ready"
    QUEUE_DRAINED = "Queue drained"
    JOB_COMPLETED = "Job completed"
    JOB_CANCELLED = "Job cancelled"
    JOB_RETRIED = "Job failed and will be retried"
    JOB_DELAYED = "Job delayed by its consumer"
    JOB_RATE_LIMITED = "Job put back, queue rate limited by its consumer"
    JOB_WAITING_CHILDREN = "Job waits for its children"
    JOB_HANDED_BACK = "Job handed back to the queue"
    SUSPECT_HELD = "Job recovered from a dead worker waits until it can run alone"
    SUSPECT_RUNS = "Job recovered from a dead worker runs"
    BROKER_EMBEDDED = "Jobs are kept by the embedded broker"
    BROKER_RECOVERED = "Broker connection recovered"
    OPERATOR_CHANGE = "Changed by an operator"
    DEAD_LETTERS_RECONCILED = "Dead letters reconciled with failed jobs"
    SCHEDULERS_REVIVED = "Job schedulers without a next iteration revived"
    JOB_LOG = "Job log"
    EMAIL_SENT = "E-mail sent"
    EMAIL_ALREADY_SENT = "E-mail was already sent by an earlier attempt"


class WorkerError(StrEnum):
    """Messages of errors."""

    STARTUP_FAILED = "Worker service failed to start"
    PROCESS_DIED = "A worker process ended by itself"
    SHUTDOWN_FAILED = "Worker service failed to stop cleanly"
    JOB_FAILED = "Job failed"
    JOB_STALLED = "Job stalled"
    JOB_ORPHANED = "Job id without job data dropped from the queue"
    INVALID_PAYLOAD = "Job payload could not be read"
    LEASE_LOST = "Job lease lost, run cancelled, nothing written"
    OUTCOME_UNWRITABLE = "Job outcome could not be written as it is, job fails for good"
    RESULT_DISCARDED = "Job result could not be written before its lease ended"
    EXIT_CONTAINED = "A task would have ended the process, the service goes on"
    RESOURCE_ENDED = "A resource of the tasks ended by itself, and cannot be relied on"
    PROCESS_NOT_STARTED = "A worker process could not be started: jobs wait for it, and it is tried again"
    CONSUMER_BLOCKS_LOOP = "A consumer blocks the event loop"
    BROKER_AWAITED = "Broker not reachable yet, still trying"
    BROKER_LOST = "Broker connection lost"
    BROKER_REFUSED = "Broker refused a command"
    UNSAFE_EVICTION_POLICY = "Broker may evict jobs: set maxmemory-policy to noeviction"
    FAILURE_HOOK_FAILED = "A failure hook failed"
    EXTRA_MISSING = "Requested by the environment, but not installed"
    OBSERVER_FAILED = "An observer of events failed"
    HTTP_EXTRA_MISSING = "HTTP port not opened: its packages are not installed"
    HTTP_PORT_TAKEN = "HTTP port not opened: it and the next ones are taken"
    HTTP_LOGIN_FAILED = "A request to the HTTP port had a wrong token"
    HTTP_REQUEST_FAILED = "A request to the HTTP port failed"
    HTTP_DESCRIPTORS_EXHAUSTED = "No file descriptor is left for a connection to the HTTP port"
    DEAD_LETTER_FAILED = "Dead letters could not be reconciled"
    SCHEDULER_STOPPED = "Job schedulers have stopped: their options cannot be read"
    SCHEDULE_FAILED = "The next iteration of a job scheduler could not be created"
    MAINTENANCE_FAILED = "A maintenance task failed"
    LINE_UNREADABLE = "A log line could not be formatted"
    SENT_NOT_MARKED = "Sent, but not recorded with its job: a later attempt may send it again"
    ALERT_NOT_SENT = "An alert could not be sent: it is tried again at the next evaluation"


WORKER_MESSAGES = WorkerMessage
WORKER_ERRORS = WorkerError
